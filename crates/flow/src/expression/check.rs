//! From text to a compiled expression: jaq reads the jq, and here its tree is checked against what is allowed.
//!
//! Allowed is what [`super::node`] can say. Everything else is refused by name, with what to write instead.

use jaq_core::load::lex::{Lexer, StrPart};
use jaq_core::load::parse::{BinaryOp, Parser, Pattern as Jq, Term as Tree};
use jaq_core::ops;
use jaq_core::path::{Opt, Part as JqPart};
use serde_json::Value;

use super::guard::{measure, offset, syntax};
use super::meter::{MAX_DEPTH, MAX_WEIGHT};
use super::node::{Compare, Fold, Format, Math, Node, Part, Pattern, Step, Term, TextPart, Variable};
use super::{Names, Problem};

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

pub(super) struct Check<'a> {
    pub(super) text: &'a str,
    pub(super) names: &'a Names<'a>,
    /// Variables bound by the expression itself, innermost last.
    pub(super) locals: Vec<&'a str>,
    pub(super) problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn problem(&mut self, part: &str, code: &'static str, message: String) -> Node {
        self.problems.push(Problem::new(offset(self.text, part), code, message));
        single(Term::Identity)
    }

    fn boxed(&mut self, tree: &Tree<&'a str>, depth: usize) -> Box<Node> {
        Box::new(self.term(tree, depth))
    }

    pub(super) fn term(&mut self, tree: &Tree<&'a str>, depth: usize) -> Node {
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

    pub(super) fn format(&mut self, name: &'a str) -> Result<Format, Node> {
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
        let fold = Box::new(Fold { source, pattern, init, update, extract });
        if word == "reduce" { single(Term::Reduce(fold)) } else { many(Term::Foreach(fold)) }
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
}

impl Step {
    pub(super) fn is_single(&self) -> bool {
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

pub(super) fn like(single: bool, term: Term) -> Node {
    Node { term, single }
}

pub(super) fn many(term: Term) -> Node {
    Node { term, single: false }
}

pub(super) fn single(term: Term) -> Node {
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

pub(super) fn literal(parts: &[StrPart<&str, Tree<&str>>]) -> Option<String> {
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
