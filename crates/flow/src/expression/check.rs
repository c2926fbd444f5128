//! From text to a compiled expression: jaq reads the jq, and here its tree is checked against what is allowed.
//!
//! Allowed is what [`super::node`] can say. Everything else is refused by name, with what to write instead.

use jaq_core::load::lex::{Lexer, StrPart};
use jaq_core::load::parse::{BinaryOp, Parser, Pattern as Jq, Term as Tree};
use jaq_core::ops;
use jaq_core::path::{Opt, Part as JqPart};
use serde_json::Value;

use super::builtins::{self, Builtin};
use super::meter::{MAX_DEPTH, MAX_OPERATORS, MAX_PATTERN, MAX_TEXT, MAX_WEIGHT};
use super::node::{Compare, Fold, Format, Math, Node, Part, Pattern, Step, Term, TextPart, Variable};
use super::{Names, Problem};
use crate::nearest::nearest;

/// Words of jq that exist but not here, and why.
const REFUSED: &[(&str, &str)] = &[
    ("recurse", "it may give results without end; name the fields"),
    ("repeat", "it may give results without end; use `range` or `reduce`"),
    ("while", "it may go on without end; use `reduce` over a list"),
    ("until", "it may go on without end; use `reduce` over a list"),
    ("walk", "it visits values of any depth; name the fields"),
    ("paths", "it visits values of any depth; name the fields"),
    ("leaf_paths", "it visits values of any depth; name the fields"),
    ("tostream", "it visits values of any depth; name the fields"),
    ("combinations", "its results grow without bounds; use `for`"),
    ("input", "an expression reads nothing but its variables"),
    ("inputs", "an expression reads nothing but its variables"),
    ("input_filename", "an expression reads nothing but its variables"),
    ("input_line_number", "an expression reads nothing but its variables"),
    ("env", "flows don't see the environment; use `$settings`"),
    ("halt", "use `error(\"…\")` or a `raise` task"),
    ("halt_error", "use `error(\"…\")` or a `raise` task"),
    ("now", "a replayed run must see the same time; use `$workflow.startedAt` or `$task.startedAt`"),
    ("localtime", "the server's time zone is no part of a flow; use `todate`"),
    ("strflocaltime", "the server's time zone is no part of a flow; use `strftime`"),
    ("mktime", "use `fromdate`"),
    ("gmtime", "use `strftime`"),
    ("debug", "runs show every step's input and output"),
    ("stderr", "runs show every step's input and output"),
    ("infinite", "numbers of a flow are finite"),
    ("nan", "numbers of a flow are finite"),
    ("path", "build the value that you want"),
    ("setpath", "build the value that you want with `. + {…}`"),
    ("delpaths", "use `del(.a, .b)`"),
    ("import", "expressions have no modules"),
    ("include", "expressions have no modules"),
    ("modulemeta", "expressions have no modules"),
    ("get_search_list", "expressions have no modules"),
    ("builtins", "see the reference of expressions"),
    ("splits", "use `split(…)[]`"),
    ("match", "use `test`, `capture` or `scan`"),
    ("implode", "use string interpolation"),
    ("explode", "use slices: `.[0:3]`"),
];

/// Compiles the text of an expression (without `${ … }`).
pub fn compile(text: &str, names: &Names<'_>) -> Result<Node, Vec<Problem>> {
    measure(text)?;
    let tokens = Lexer::new(text).lex().map_err(|errors| {
        let at = errors.first().map_or(0, |(_, rest)| offset(text, rest));
        vec![syntax(text, at)]
    })?;
    let tree = Parser::new(&tokens).parse(|parser| parser.term()).map_err(|errors| {
        let at =
            errors.first().and_then(|(_, token)| *token).map_or(text.len(), |token| offset(text, token.0));
        vec![syntax(text, at)]
    })?;
    let mut check = Check { text, names, locals: Vec::new(), problems: Vec::new() };
    let node = check.term(&tree, 0);
    if node.weight() > MAX_WEIGHT {
        let message = "too many of its parts that give several results are nested; split it over `set` tasks"
            .to_owned();
        check.problems.push(Problem::new(0, "expression_too_large", message));
    }
    if check.problems.is_empty() { Ok(node) } else { Err(check.problems) }
}

/// Bounds what the parser is given: it recurses, and its depth is at most the number of operators.
fn measure(text: &str) -> Result<(), Vec<Problem>> {
    let too_large = |message| Err(vec![Problem::new(0, "expression_too_large", message)]);
    if text.len() > MAX_TEXT {
        return too_large(format!("an expression has at most {MAX_TEXT} bytes; split it over `set` tasks"));
    }
    let mut operators = 0;
    let mut word_before = false;
    // What is open: a bracket, or a quote, in which nothing counts but `\\(`.
    let mut open: Vec<char> = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let quoted = open.last() == Some(&'"');
        match c {
            '\\' if quoted => {
                if let Some((_, '(')) = chars.next() {
                    open.push('(');
                    operators += 1;
                }
            }
            '"' if quoted => drop(open.pop()),
            _ if quoted => {}
            '#' => {
                return Err(vec![Problem::new(
                    at,
                    "expression_syntax",
                    "an expression has no comments".to_owned(),
                )]);
            }
            '(' | '[' | '{' | '"' => {
                open.push(c);
                operators += 1;
            }
            ')' | ']' | '}' => drop(open.pop()),
            '|' | ',' | '-' | '+' | '*' | '/' | '%' | '=' | '<' | '>' | ';' | '?' => operators += 1,
            _ => {}
        }
        let word = c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '@');
        operators += usize::from(word && !word_before && !quoted);
        word_before = word;
        if open.len() > MAX_DEPTH {
            return too_large(format!("brackets are nested deeper than {MAX_DEPTH}"));
        }
    }
    if operators > MAX_OPERATORS {
        return too_large(format!(
            "an expression has at most {MAX_OPERATORS} operators and words; split it over `set` tasks"
        ));
    }
    Ok(())
}

fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len())
}

fn syntax(text: &str, at: usize) -> Problem {
    let rest = text.get(at..).unwrap_or_default();
    let near: String = rest.chars().take(12).collect();
    let message = if near.trim().is_empty() {
        "this expression is not complete".to_owned()
    } else {
        format!("this expression can't be read from `{near}` on")
    };
    Problem::new(at, "expression_syntax", message)
}

struct Check<'a> {
    text: &'a str,
    names: &'a Names<'a>,
    /// Variables bound by the expression itself, innermost last.
    locals: Vec<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn problem(&mut self, part: &str, code: &'static str, message: String) -> Node {
        self.problems.push(Problem::new(offset(self.text, part), code, message));
        single(Term::Identity)
    }

    fn boxed(&mut self, tree: &Tree<&'a str>, depth: usize) -> Box<Node> {
        Box::new(self.term(tree, depth))
    }

    fn term(&mut self, tree: &Tree<&'a str>, depth: usize) -> Node {
        if depth > MAX_DEPTH {
            let too_deep =
                Problem::new(0, "expression_too_large", format!("terms are nested deeper than {MAX_DEPTH}"));
            if !self.problems.contains(&too_deep) {
                self.problems.push(too_deep);
            }
            return single(Term::Identity);
        }
        let inner = depth + 1;
        match tree {
            Tree::Id => single(Term::Identity),
            Tree::Recurse => {
                let why = "`..` is not allowed: it visits values of any depth; name the fields";
                self.problem(self.text, "expression_refused", why.to_owned())
            }
            Tree::Num(text) => self.number(text),
            Tree::Str(format, parts) => self.string(*format, parts, inner),
            Tree::Arr(None) => single(Term::List(None)),
            Tree::Arr(Some(items)) => {
                let items = self.boxed(items, inner);
                single(Term::List(Some(items)))
            }
            Tree::Obj(fields) => self.object(fields, inner),
            Tree::Neg(term) => match self.boxed(term, inner) {
                node if matches!(node.term, Term::Constant(Value::Number(_))) => negated(*node),
                node => like(node.single, Term::Negate(node)),
            },
            Tree::BinOp(left, op, right) => self.binary(left, op, right, depth),
            Tree::Label(name, _) | Tree::Break(name) => {
                let why = "`label` and `break` are not allowed; use `first(…)` or `limit(…; …)`";
                self.problem(name, "expression_refused", why.to_owned())
            }
            Tree::Fold(word, source, pattern, args) => self.fold(word, source, pattern, args, inner),
            Tree::TryCatch(body, catch) => {
                let body = self.boxed(body, inner);
                let catch = catch.as_ref().map(|catch| self.boxed(catch, inner));
                let is_single = body.single && catch.as_ref().is_some_and(|catch| catch.single);
                like(is_single, Term::Try(body, catch))
            }
            Tree::IfThenElse(cases, otherwise) => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|(when, then)| (self.term(when, inner), self.term(then, inner)))
                    .collect();
                let otherwise = otherwise.as_ref().map(|otherwise| self.boxed(otherwise, inner));
                let is_single = cases.iter().all(|(when, then)| when.single && then.single)
                    && otherwise.as_ref().is_none_or(|otherwise| otherwise.single);
                like(is_single, Term::If(cases, otherwise))
            }
            Tree::Def(defs, _) => {
                let name = defs.first().map_or(self.text, |def| def.name);
                self.problem(
                    name,
                    "expression_refused",
                    "`def` is not allowed; bind a value with `… as $name | …`".to_owned(),
                )
            }
            Tree::Call(name, args) => self.call(name, args, inner),
            Tree::Var(name) => self.variable(name),
            Tree::Path(head, path) => self.path(head, &path.0, inner),
        }
    }

    fn number(&mut self, text: &str) -> Node {
        match super::value::from_text(text) {
            Some(number) => single(Term::Constant(Value::Number(number))),
            None => self.problem(text, "expression_syntax", format!("`{text}` is too large a number")),
        }
    }

    fn string(
        &mut self,
        format: Option<&'a str>,
        parts: &[StrPart<&'a str, Tree<&'a str>>],
        depth: usize,
    ) -> Node {
        let format = match format {
            None => Format::Text,
            Some(name) => match self.format(name) {
                Ok(format) => format,
                Err(node) => return node,
            },
        };
        let mut texts: Vec<TextPart> = Vec::new();
        for part in parts {
            let piece = match part {
                StrPart::Str(text) => (*text).to_owned(),
                StrPart::Char(c) => c.to_string(),
                StrPart::Term(tree) => {
                    texts.push(TextPart::Term(self.term(tree, depth)));
                    continue;
                }
            };
            match texts.last_mut() {
                Some(TextPart::Literal(before)) => before.push_str(&piece),
                _ => texts.push(TextPart::Literal(piece)),
            }
        }
        match texts.as_slice() {
            [] => single(Term::Constant(Value::String(String::new()))),
            [TextPart::Literal(text)] => single(Term::Constant(Value::String(text.clone()))),
            _ => {
                let is_single =
                    texts.iter().all(|part| !matches!(part, TextPart::Term(node) if !node.single));
                like(is_single, Term::Text(format, texts))
            }
        }
    }

    fn format(&mut self, name: &'a str) -> Result<Format, Node> {
        let formats = [
            ("@text", Format::Text),
            ("@json", Format::Json),
            ("@uri", Format::Uri),
            ("@base64", Format::Base64),
            ("@csv", Format::Csv),
            ("@html", Format::Html),
        ];
        formats.iter().find(|(known, _)| *known == name).map(|(_, format)| *format).ok_or_else(|| {
            let message =
                format!("`{name}` is not a format here: @text, @json, @uri, @base64, @csv and @html are");
            self.problem(name, "unknown_function", message)
        })
    }

    fn object(&mut self, fields: &[(Tree<&'a str>, Option<Tree<&'a str>>)], depth: usize) -> Node {
        let mut compiled = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            let (key, value) = match (name, value) {
                (Tree::Var(variable), None) => {
                    let key = Value::String(variable.trim_start_matches('$').to_owned());
                    (single(Term::Constant(key)), self.variable(variable))
                }
                (name, None) => {
                    let key = self.term(name, depth);
                    let value = match &key.term {
                        Term::Constant(Value::String(field)) => {
                            field_of(single(Term::Identity), field.clone())
                        }
                        _ => self.problem(
                            self.text,
                            "expression_syntax",
                            "this field of an object has no value".to_owned(),
                        ),
                    };
                    (key, value)
                }
                (name, Some(value)) => (self.term(name, depth), self.term(value, depth)),
            };
            compiled.push((key, value));
        }
        let is_single = compiled.iter().all(|(key, value)| key.single && value.single);
        like(is_single, Term::Object(compiled))
    }

    fn binary(
        &mut self,
        left: &Tree<&'a str>,
        op: &BinaryOp<&'a str>,
        right: &Tree<&'a str>,
        depth: usize,
    ) -> Node {
        let inner = depth + 1;
        match op {
            BinaryOp::Pipe(Some(pattern)) => {
                let source = self.boxed(left, inner);
                let before = self.locals.len();
                let pattern = self.pattern(pattern);
                // A chain of bindings is long, not deep.
                let body = self.boxed(right, inner);
                self.locals.truncate(before);
                like(source.single && body.single, Term::Bind(source, pattern, body))
            }
            BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => {
                let why = "assignment (`=`, `|=`, `+=` …) is not allowed; build a new object with `. + {…}`, compare with `==`";
                self.problem(self.text, "expression_refused", why.to_owned())
            }
            _ => {
                self.hyphenated(left, op, right);
                let (left, right) = (self.boxed(left, inner), self.boxed(right, inner));
                let is_single = left.single && right.single;
                let term = match op {
                    BinaryOp::Comma => return many(Term::Comma(left, right)),
                    BinaryOp::Pipe(_) => Term::Pipe(left, right),
                    BinaryOp::Alt => Term::Alternative(left, right),
                    BinaryOp::And => Term::And(left, right),
                    BinaryOp::Or => Term::Or(left, right),
                    BinaryOp::Math(op) => Term::Math(math(*op), left, right),
                    BinaryOp::Cmp(op) => Term::Compare(compare(*op), left, right),
                    _ => Term::Identity,
                };
                like(is_single, term)
            }
        }
    }

    /// `$steps.my-step` is a subtraction; say so instead of "unknown function `step`".
    fn hyphenated(&mut self, left: &Tree<&'a str>, op: &BinaryOp<&'a str>, right: &Tree<&'a str>) {
        let (BinaryOp::Math(ops::Math::Sub), Tree::Path(head, path), Tree::Call(word, args)) =
            (op, left, right)
        else {
            return;
        };
        let (Tree::Var("$steps" | "$settings"), [(JqPart::Index(Tree::Str(None, _)), _)]) =
            (&**head, &path.0[..])
        else {
            return;
        };
        if args.is_empty() {
            let message =
                format!("a name with a hyphen is written `[\"…-{word}\"]` here: this is a subtraction");
            self.problem(word, "expression_syntax", message);
        }
    }

    fn pattern(&mut self, pattern: &Jq<&'a str>) -> Pattern {
        match pattern {
            Jq::Var(name) => {
                self.locals.push(name);
                Pattern::Variable
            }
            Jq::Arr(items) => Pattern::List(items.iter().map(|item| self.pattern(item)).collect()),
            Jq::Obj(fields) => {
                let mut names = Vec::with_capacity(fields.len());
                for (name, pattern) in fields {
                    let key = self.term(name, 0);
                    let Term::Constant(Value::String(key)) = key.term else {
                        self.problem(
                            self.text,
                            "expression_refused",
                            "a pattern names its fields: `{name: $x}`".to_owned(),
                        );
                        continue;
                    };
                    names.push((key, self.pattern(pattern)));
                }
                Pattern::Object(names)
            }
        }
    }

    fn fold(
        &mut self,
        word: &'a str,
        source: &Tree<&'a str>,
        pattern: &Jq<&'a str>,
        args: &[Tree<&'a str>],
        depth: usize,
    ) -> Node {
        let (init, update, extract) = match (word, args) {
            ("reduce", [init, update]) | ("foreach", [init, update]) => (init, update, None),
            ("foreach", [init, update, extract]) => (init, update, Some(extract)),
            _ => {
                return self.problem(
                    word,
                    "expression_syntax",
                    format!("`{word}` has the form `{word} … as $x (start; step)`"),
                );
            }
        };
        let source = self.term(source, depth);
        let init = self.term(init, depth);
        let before = self.locals.len();
        let pattern = self.pattern(pattern);
        let update = self.term(update, depth);
        let extract = extract.map(|extract| self.term(extract, depth));
        self.locals.truncate(before);
        let is_single = init.single && update.single;
        let fold = Box::new(Fold { source, pattern, init, update, extract });
        if word == "reduce" { like(is_single, Term::Reduce(fold)) } else { many(Term::Foreach(fold)) }
    }

    fn variable(&mut self, name: &'a str) -> Node {
        if let Some(out) = self.locals.iter().rev().position(|local| *local == name) {
            return single(Term::Local(out));
        }
        let bare = name.trim_start_matches('$');
        let variable = match bare {
            "ENV" | "__loc__" | "__prog_args" => {
                let why =
                    format!("`{name}` does not exist here: flows don't see the environment; use `$settings`");
                return self.problem(name, "expression_refused", why);
            }
            "secrets" => {
                let why = "`$secrets` can't be read in expressions: secrets belong to connections".to_owned();
                return self.problem(name, "expression_refused", why);
            }
            "steps" => {
                let why = "name the step: `$steps.<name>` is its output".to_owned();
                return self.problem(name, "expression_refused", why);
            }
            _ if self.names.named.iter().any(|named| named == bare) => Variable::Named(bare.to_owned()),
            _ => match standard(bare) {
                Some(variable) => variable,
                None if self.names.open => Variable::Named(bare.to_owned()),
                None => {
                    let known = self
                        .names
                        .named
                        .iter()
                        .map(String::as_str)
                        .chain(STANDARD.iter().map(|(name, _)| *name));
                    let locals = self.locals.iter().map(|local| local.trim_start_matches('$'));
                    let suggestion =
                        nearest(bare, known.chain(locals).chain(["steps"])).map(|name| format!("${name}"));
                    let message = format!("`{name}` is not a variable here");
                    let mut problem = Problem::new(offset(self.text, name), "unknown_variable", message);
                    problem.suggestion = suggestion;
                    self.problems.push(problem);
                    return single(Term::Identity);
                }
            },
        };
        single(Term::Variable(variable))
    }

    fn path(&mut self, head: &Tree<&'a str>, parts: &[(JqPart<Tree<&'a str>>, Opt)], depth: usize) -> Node {
        let (head, parts) = match (head, parts.split_first()) {
            (Tree::Var(name @ "$steps"), first) if !self.locals.contains(name) => {
                let step = match first {
                    Some(((JqPart::Index(Tree::Str(None, text)), _), _)) => literal(text),
                    _ => None,
                };
                let Some((step, (_, rest))) = step.zip(first) else {
                    return self.variable(name);
                };
                self.step(name, &step);
                (single(Term::Variable(Variable::Step(step))), rest)
            }
            _ => (self.term(head, depth), parts),
        };
        if let (Term::Variable(Variable::Settings), Some((JqPart::Index(Tree::Str(None, text)), _))) =
            (&head.term, parts.first())
        {
            self.setting(text);
        }
        let mut steps = Vec::with_capacity(parts.len());
        let mut is_single = head.single;
        for (part, optional) in parts {
            let optional = matches!(optional, Opt::Optional);
            let step = match part {
                JqPart::Index(tree) => match self.term(tree, depth) {
                    Node { term: Term::Constant(Value::String(name)), .. } => Step::Field(name),
                    node => Step::Index(node),
                },
                JqPart::Range(None, None) => Step::Each,
                JqPart::Range(from, to) => {
                    let from = from.as_ref().map(|from| self.term(from, depth));
                    let to = to.as_ref().map(|to| self.term(to, depth));
                    Step::Slice(from, to)
                }
            };
            is_single &= !optional && step.is_single();
            steps.push(Part { step, optional });
        }
        if steps.is_empty() {
            return head;
        }
        like(is_single, Term::Path(Box::new(head), steps))
    }

    fn step(&mut self, at: &str, step: &str) {
        if let Some(steps) = self.names.steps
            && !steps.iter().any(|known| known == step)
        {
            let mut problem = Problem::new(
                offset(self.text, at),
                "unknown_step",
                format!("`$steps.{step}`: there is no task named `{step}`"),
            );
            problem.suggestion =
                nearest(step, steps.iter().map(String::as_str)).map(|name| format!("$steps.{name}"));
            self.problems.push(problem);
        }
    }

    fn setting(&mut self, text: &[StrPart<&'a str, Tree<&'a str>>]) {
        if let (Some(settings), Some(name)) = (self.names.settings, literal(text))
            && !settings.contains(&name)
        {
            let at = text.iter().find_map(|part| {
                if let StrPart::Str(text) = part { Some(offset(self.text, text)) } else { None }
            });
            let message = format!("`$settings.{name}`: `document.metadata.settings` declares no `{name}`");
            let mut problem = Problem::new(at.unwrap_or(0), "unknown_setting", message);
            problem.suggestion =
                nearest(&name, settings.iter().map(String::as_str)).map(|name| format!("$settings.{name}"));
            self.problems.push(problem);
        }
    }

    fn call(&mut self, name: &'a str, args: &[Tree<&'a str>], depth: usize) -> Node {
        match (name, args) {
            ("true", []) => return single(Term::Constant(Value::Bool(true))),
            ("false", []) => return single(Term::Constant(Value::Bool(false))),
            ("null", []) => return single(Term::Constant(Value::Null)),
            _ => {}
        }
        if name.starts_with('@') && name != "@base64d" {
            return match self.format(name) {
                Ok(format) => single(Term::Text(format, vec![TextPart::Term(single(Term::Identity))])),
                Err(node) => node,
            };
        }
        let Some(builtin) = builtins::find(name, args.len()) else { return self.unknown(name, args.len()) };
        let before = self.problems.len();
        let args: Vec<Node> = args.iter().map(|arg| self.term(arg, depth)).collect();
        let regex = if self.problems.len() == before { self.regex(name, builtin, &args) } else { None };
        if builtin == Builtin::Del && !args.iter().all(is_place) {
            return self.problem(
                name,
                "expression_refused",
                "`del` takes plain places: `del(.a, .b.c)`".to_owned(),
            );
        }
        let is_single = builtin.is_single(&args);
        like(is_single, Term::Call(builtin, args, regex))
    }

    fn unknown(&mut self, name: &'a str, arity: usize) -> Node {
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return self.problem(name, "expression_refused", format!("`{name}` is not allowed: {why}"));
        }
        let arities = builtins::arities(name);
        if !arities.is_empty() {
            let takes = arities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let message = format!("`{name}` takes {takes} arguments (separated by `;`), not {arity}");
            return self.problem(name, "unknown_function", message);
        }
        let mut problem =
            Problem::new(offset(self.text, name), "unknown_function", format!("`{name}` is not a function"));
        problem.suggestion = nearest(name, builtins::names()).map(str::to_owned);
        self.problems.push(problem);
        single(Term::Identity)
    }

    /// A constant pattern is compiled once, here.
    fn regex(&mut self, name: &str, builtin: Builtin, args: &[Node]) -> Option<regex_lite::Regex> {
        let (index, flags) = builtin.pattern()?;
        let Some(Term::Constant(Value::String(pattern))) = args.get(index).map(|node| &node.term) else {
            return None;
        };
        let flags = match flags.and_then(|flags| args.get(flags)).map(|node| &node.term) {
            None => "",
            Some(Term::Constant(Value::String(flags))) => flags,
            Some(_) => return None,
        };
        match regex(pattern, flags) {
            Ok(regex) => Some(regex),
            Err(why) => {
                self.problem(name, "expression_syntax", why);
                None
            }
        }
    }
}

/// Compiles a regular expression, bounded; its matching takes time linear in the text.
pub fn regex(pattern: &str, flags: &str) -> Result<regex_lite::Regex, String> {
    let mut builder = regex_lite::RegexBuilder::new(pattern);
    builder.size_limit(MAX_PATTERN).nest_limit(32);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'x' => builder.ignore_whitespace(true),
            's' => builder.dot_matches_new_line(true),
            'g' | 'n' => &mut builder,
            _ => return Err(format!("`{flag}` is not a flag of a regular expression: g, i, n, s and x are")),
        };
    }
    builder.build().map_err(|error| format!("the regular expression `{pattern}` is wrong: {error}"))
}

impl Step {
    fn is_single(&self) -> bool {
        match self {
            Self::Field(_) => true,
            Self::Index(node) => node.single,
            Self::Each => false,
            Self::Slice(from, to) => {
                from.as_ref().is_none_or(|from| from.single) && to.as_ref().is_none_or(|to| to.single)
            }
        }
    }
}

/// Places that `del` can take: fields and single indices below `.`, and commas of these.
fn is_place(node: &Node) -> bool {
    match &node.term {
        Term::Path(head, parts) => {
            matches!(head.term, Term::Identity)
                && parts.iter().all(|part| !part.optional && part.step.is_single())
        }
        Term::Comma(left, right) => is_place(left) && is_place(right),
        _ => false,
    }
}

pub const STANDARD: &[(&str, Variable)] = &[
    ("context", Variable::Context),
    ("input", Variable::Input),
    ("output", Variable::Output),
    ("task", Variable::Task),
    ("workflow", Variable::Workflow),
    ("runtime", Variable::Runtime),
    ("event", Variable::Event),
    ("settings", Variable::Settings),
];

fn standard(name: &str) -> Option<Variable> {
    STANDARD.iter().find(|(known, _)| *known == name).map(|(_, variable)| variable.clone())
}

fn like(single: bool, term: Term) -> Node {
    Node { term, single }
}

fn many(term: Term) -> Node {
    Node { term, single: false }
}

fn single(term: Term) -> Node {
    Node { term, single: true }
}

fn field_of(head: Node, name: String) -> Node {
    single(Term::Path(Box::new(head), vec![Part { step: Step::Field(name), optional: false }]))
}

fn negated(node: Node) -> Node {
    let Term::Constant(Value::Number(number)) = &node.term else { return node };
    let negative = match super::value::integer(number) {
        Some(int) => super::value::from_integer(-int),
        None => super::value::from_float(-super::value::float(number)).unwrap_or_else(|| number.clone()),
    };
    single(Term::Constant(Value::Number(negative)))
}

fn literal(parts: &[StrPart<&str, Tree<&str>>]) -> Option<String> {
    let mut text = String::new();
    for part in parts {
        match part {
            StrPart::Str(piece) => text.push_str(piece),
            StrPart::Char(c) => text.push(*c),
            StrPart::Term(_) => return None,
        }
    }
    Some(text)
}

fn math(op: ops::Math) -> Math {
    match op {
        ops::Math::Add => Math::Add,
        ops::Math::Sub => Math::Subtract,
        ops::Math::Mul => Math::Multiply,
        ops::Math::Div => Math::Divide,
        ops::Math::Rem => Math::Remainder,
    }
}

fn compare(op: ops::Cmp) -> Compare {
    match op {
        ops::Cmp::Lt => Compare::Less,
        ops::Cmp::Le => Compare::LessOrEqual,
        ops::Cmp::Gt => Compare::Greater,
        ops::Cmp::Ge => Compare::GreaterOrEqual,
        ops::Cmp::Eq => Compare::Equal,
        ops::Cmp::Ne => Compare::NotEqual,
    }
}
