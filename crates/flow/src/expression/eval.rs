//! Evaluates a compiled expression. Terms that give one result are evaluated directly ([`Run::one`]); the others hand
//! each result to a callback ([`Run::each`]). Everything is counted by the meter.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::Scope;
use super::builtins::Shape;
use super::meter::{Limit, Meter};
use super::node::{Compare, Fold, Format, Node, Term, TextPart};
use super::operator;
use super::value::{Fields, Text, Val};
use crate::pattern::Pattern;

/// Why an evaluation ended early.
#[derive(Debug)]
pub enum Stop<'v> {
    /// An error of the expression's own, with its message; `try` and `?` catch it.
    Error(Val<'v>),
    /// A limit was reached; nothing catches it.
    Limit(Limit),
    /// `first` and `limit` have enough; the number says which of them.
    Enough(usize),
}

impl From<Limit> for Stop<'_> {
    fn from(limit: Limit) -> Self {
        Self::Limit(limit)
    }
}

impl Stop<'_> {
    /// An error with a message.
    pub fn error(message: String) -> Self {
        Self::Error(Val::Text(Text::Shared(message.into())))
    }
}

pub type One<'v> = Result<Val<'v>, Stop<'v>>;
pub type Many<'v> = Result<(), Stop<'v>>;
/// Takes each result.
pub type Take<'t, 'v> = &'t mut dyn FnMut(Val<'v>) -> Many<'v>;

/// Variables that the expression itself has bound, innermost first.
pub struct Env<'e, 'v> {
    values: Vec<Val<'v>>,
    outer: Option<&'e Env<'e, 'v>>,
}

/// One evaluation.
pub struct Run<'r, 'v> {
    pub scope: &'v dyn Scope,
    pub meter: &'r Meter,
    /// Numbers the takers that may have enough.
    takers: Cell<usize>,
    /// The last regular expression that was compiled, with its flags.
    pub pattern: RefCell<Option<(String, String, Arc<Pattern>)>>,
}

impl<'r, 'v> Run<'r, 'v> {
    pub fn new(scope: &'v dyn Scope, meter: &'r Meter) -> Self {
        Self { scope, meter, takers: Cell::new(0), pattern: RefCell::new(None) }
    }

    /// The one result of a term; none or several are an error.
    pub fn one(&self, node: &'v Node, input: &Val<'v>, env: Option<&Env<'_, 'v>>) -> One<'v> {
        if !node.single {
            return self.exactly_one(node, input, env);
        }
        self.meter.step(1)?;
        match &node.term {
            Term::Identity => Ok(input.clone()),
            Term::Constant(value) => Ok(value.into()),
            Term::Variable(variable) => Ok(self.scope.get(variable).map_or(Val::Null, Val::from)),
            Term::Local(out) => Ok(local(env, *out)),
            Term::Path(head, parts) => {
                let mut value = self.one(head, input, env)?;
                for part in parts {
                    value = self.part(value, part, input, env)?;
                }
                Ok(value)
            }
            Term::List(None) => Ok(Val::list(Vec::new(), self.meter)?),
            Term::List(Some(items)) => {
                let items = self.collect(items, input, env)?;
                Ok(Val::list(items, self.meter)?)
            }
            Term::Object(fields) => {
                let mut object = Fields::with_capacity(fields.len());
                for (key, value) in fields {
                    let key = operator::key(self.one(key, input, env)?)?;
                    object.insert(key, self.one(value, input, env)?);
                }
                Ok(Val::object(object, self.meter)?)
            }
            Term::Text(format, parts) => self.text(*format, parts, input, env),
            Term::Negate(term) => operator::negate(&self.one(term, input, env)?),
            Term::Pipe(left, right) => {
                let value = self.one(left, input, env)?;
                self.one(right, &value, env)
            }
            Term::Bind(source, pattern, body) => {
                let value = self.one(source, input, env)?;
                let env = Env { values: self.bind(pattern, value)?, outer: env };
                self.one(body, input, Some(&env))
            }
            Term::Alternative(left, right) => match self.one(left, input, env) {
                Ok(value) if !value.is_true() => self.one(right, input, env),
                outcome => outcome,
            },
            Term::And(left, right) => self.logic(left, right, input, env, false),
            Term::Or(left, right) => self.logic(left, right, input, env, true),
            Term::Math(op, left, right) => {
                let (left, right) = (self.one(left, input, env)?, self.one(right, input, env)?);
                operator::math(*op, left, right, self.meter)
            }
            Term::Compare(op, left, right) => {
                let (left, right) = (self.one(left, input, env)?, self.one(right, input, env)?);
                self.compare(*op, &left, &right)
            }
            Term::If(cases, otherwise) => self.choice(cases, otherwise.as_deref(), input, env),
            Term::Try(body, Some(catch)) => match self.one(body, input, env) {
                Err(Stop::Error(message)) => self.one(catch, &message, env),
                outcome => outcome,
            },
            Term::Reduce(fold) => self.reduce(fold, input, env),
            Term::Call(builtin, args, regex) => match builtin.shape() {
                Shape::Plain => {
                    let args =
                        args.iter().map(|arg| self.one(arg, input, env)).collect::<Result<Vec<_>, _>>()?;
                    self.plain(*builtin, input, &args, regex.as_ref())
                }
                _ => self.closure(*builtin, args, regex.as_ref(), input, env),
            },
            // These are never marked as giving one result.
            Term::Comma(..) | Term::Try(_, None) | Term::Foreach(_) => self.exactly_one(node, input, env),
        }
    }

    fn text(
        &self,
        format: Format,
        parts: &'v [TextPart],
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> One<'v> {
        let mut text = String::new();
        for part in parts {
            match part {
                TextPart::Literal(literal) => text.push_str(literal),
                TextPart::Term(term) => {
                    let value = self.one(term, input, env)?;
                    operator::write(format, &value, &mut text, self.meter)?;
                }
            }
        }
        Ok(Val::text(&text, self.meter)?)
    }

    fn choice(
        &self,
        cases: &'v [(Node, Node)],
        otherwise: Option<&'v Node>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> One<'v> {
        for (when, then) in cases {
            if self.one(when, input, env)?.is_true() {
                return self.one(then, input, env);
            }
        }
        otherwise.map_or_else(|| Ok(input.clone()), |term| self.one(term, input, env))
    }

    /// Hands each result of a term to `take`.
    pub fn each(
        &self,
        node: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        if node.single {
            return take(self.one(node, input, env)?);
        }
        self.meter.step(1)?;
        match &node.term {
            Term::Path(head, parts) => {
                self.each(head, input, env, &mut |value| self.path(value, parts, input, env, take))
            }
            Term::Object(fields) => self.objects(fields, Fields::new(), input, env, take),
            Term::Text(format, parts) => self.texts(
                parts,
                "",
                &|value, text| operator::write(*format, value, text, self.meter),
                input,
                env,
                take,
            ),
            Term::Negate(term) => self.each(term, input, env, &mut |value| take(operator::negate(&value)?)),
            Term::Pipe(left, right) => {
                self.each(left, input, env, &mut |value| self.each(right, &value, env, take))
            }
            Term::Bind(source, pattern, body) => self.each(source, input, env, &mut |value| {
                let env = Env { values: self.bind(pattern, value)?, outer: env };
                self.each(body, input, Some(&env), take)
            }),
            Term::Comma(left, right) => {
                self.each(left, input, env, take)?;
                self.each(right, input, env, take)
            }
            Term::Alternative(left, right) => self.alternative(left, right, input, env, take),
            Term::And(left, right) => self.each(left, input, env, &mut |left| {
                if !left.is_true() {
                    return take(Val::Bool(false));
                }
                self.each(right, input, env, &mut |right| take(Val::Bool(right.is_true())))
            }),
            Term::Or(left, right) => self.each(left, input, env, &mut |left| {
                if left.is_true() {
                    return take(Val::Bool(true));
                }
                self.each(right, input, env, &mut |right| take(Val::Bool(right.is_true())))
            }),
            Term::Math(op, left, right) => self.each(right, input, env, &mut |right| {
                self.each(left, input, env, &mut |left| {
                    take(operator::math(*op, left, right.clone(), self.meter)?)
                })
            }),
            Term::Compare(op, left, right) => self.each(right, input, env, &mut |right| {
                self.each(left, input, env, &mut |left| take(self.compare(*op, &left, &right)?))
            }),
            Term::If(cases, otherwise) => self.cases(cases, otherwise.as_deref(), input, env, take),
            Term::Try(body, catch) => self.catching(body, catch.as_deref(), input, env, take),
            Term::Foreach(fold) => self.foreach(fold, input, env, take),
            Term::Call(builtin, args, regex) => match builtin.shape() {
                Shape::Plain => self.arguments(args, &mut Vec::new(), input, env, &mut |args| {
                    take(self.plain(*builtin, input, args, regex.as_ref())?)
                }),
                _ => self.generator(*builtin, args, regex.as_ref(), input, env, take),
            },
            // These always give one result, and are marked so.
            Term::Identity
            | Term::Constant(_)
            | Term::Variable(_)
            | Term::Local(_)
            | Term::List(_)
            | Term::Reduce(_) => take(self.one(node, input, env)?),
        }
    }

    fn exactly_one(&self, node: &'v Node, input: &Val<'v>, env: Option<&Env<'_, 'v>>) -> One<'v> {
        let mut found = None;
        self.each(node, input, env, &mut |value| {
            if found.replace(value).is_some() {
                return Err(Stop::error(
                    "one value is needed here, and the term gives several; put it in `[ … ]` or `first(…)`"
                        .to_owned(),
                ));
            }
            Ok(())
        })?;
        found.ok_or_else(|| Stop::error("one value is needed here, and the term gives none".to_owned()))
    }

    /// All results of a term.
    pub fn collect(
        &self,
        node: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
    ) -> Result<Vec<Val<'v>>, Stop<'v>> {
        let mut items = Vec::new();
        self.each(node, input, env, &mut |value| {
            self.meter.grow(items.len(), size_of::<Val<'_>>())?;
            items.push(value);
            Ok(())
        })?;
        Ok(items)
    }

    /// Runs `body` with a taker that may say that it has enough.
    pub fn until_enough(&self, body: impl FnOnce(&dyn Fn() -> Stop<'v>) -> Many<'v>) -> Many<'v> {
        let taker = self.takers.get();
        self.takers.set(taker + 1);
        match body(&|| Stop::Enough(taker)) {
            Err(Stop::Enough(whose)) if whose == taker => Ok(()),
            outcome => outcome,
        }
    }

    fn logic(
        &self,
        left: &'v Node,
        right: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        decided: bool,
    ) -> One<'v> {
        if self.one(left, input, env)?.is_true() == decided {
            return Ok(Val::Bool(decided));
        }
        Ok(Val::Bool(self.one(right, input, env)?.is_true()))
    }

    fn compare(&self, op: Compare, left: &Val<'v>, right: &Val<'v>) -> One<'v> {
        let order = left.compare(right, self.meter)?;
        Ok(Val::Bool(match op {
            Compare::Less => order.is_lt(),
            Compare::LessOrEqual => order.is_le(),
            Compare::Greater => order.is_gt(),
            Compare::GreaterOrEqual => order.is_ge(),
            Compare::Equal => order.is_eq(),
            Compare::NotEqual => order.is_ne(),
        }))
    }

    fn objects(
        &self,
        fields: &'v [(Node, Node)],
        made: Fields<'v>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let Some(((key, value), rest)) = fields.split_first() else {
            return take(Val::object(made, self.meter)?);
        };
        self.each(key, input, env, &mut |key| {
            let key = operator::key(key)?;
            self.each(value, input, env, &mut |value| {
                super::value::copied(made.len() + 1, self.meter)?;
                let mut made = made.clone();
                made.insert(key.clone(), value);
                self.objects(rest, made, input, env, take)
            })
        })
    }

    fn texts(
        &self,
        parts: &'v [TextPart],
        made: &str,
        write: &dyn Fn(&Val<'v>, &mut String) -> Many<'v>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let Some((part, rest)) = parts.split_first() else {
            return take(Val::text(made, self.meter)?);
        };
        self.meter.make(made.len())?;
        match part {
            TextPart::Literal(literal) => {
                self.texts(rest, &format!("{made}{literal}"), write, input, env, take)
            }
            TextPart::Term(term) => self.each(term, input, env, &mut |value| {
                let mut text = made.to_owned();
                write(&value, &mut text)?;
                self.texts(rest, &text, write, input, env, take)
            }),
        }
    }

    /// As in jaq, `//` does not hide errors of its left side: a field that can't be there is a mistake.
    fn alternative(
        &self,
        left: &'v Node,
        right: &'v Node,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let mut any = false;
        self.each(left, input, env, &mut |value| {
            if !value.is_true() {
                return Ok(());
            }
            any = true;
            take(value)
        })?;
        if any { Ok(()) } else { self.each(right, input, env, take) }
    }

    /// Remembers a stop that comes from further on, and gives one that no `try` on the way catches.
    fn beyond(&self, place: &mut Option<Stop<'v>>, stop: Stop<'v>) -> Stop<'v> {
        *place = Some(stop);
        Stop::Enough(usize::MAX)
    }

    fn catching(
        &self,
        body: &'v Node,
        catch: Option<&'v Node>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let mut beyond = None;
        let outcome = self
            .each(body, input, env, &mut |value| take(value).map_err(|stop| self.beyond(&mut beyond, stop)));
        match (outcome, beyond) {
            (Err(_), Some(stop)) => Err(stop),
            (Err(Stop::Error(message)), None) => match catch {
                Some(catch) => self.each(catch, &message, env, take),
                None => Ok(()),
            },
            (outcome, _) => outcome,
        }
    }

    fn cases(
        &self,
        cases: &'v [(Node, Node)],
        otherwise: Option<&'v Node>,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let Some(((when, then), rest)) = cases.split_first() else {
            return match otherwise {
                Some(term) => self.each(term, input, env, take),
                None => take(input.clone()),
            };
        };
        self.each(when, input, env, &mut |when| {
            if when.is_true() {
                self.each(then, input, env, take)
            } else {
                self.cases(rest, otherwise, input, env, take)
            }
        })
    }

    fn reduce(&self, fold: &'v Fold, input: &Val<'v>, env: Option<&Env<'_, 'v>>) -> One<'v> {
        let mut state = self.one(&fold.init, input, env)?;
        self.each(&fold.source, input, env, &mut |value| {
            let env = Env { values: self.bind(&fold.pattern, value)?, outer: env };
            state = self.one(&fold.update, &state, Some(&env))?;
            Ok(())
        })?;
        Ok(state)
    }

    fn foreach(
        &self,
        fold: &'v Fold,
        input: &Val<'v>,
        env: Option<&Env<'_, 'v>>,
        take: Take<'_, 'v>,
    ) -> Many<'v> {
        let mut state = self.one(&fold.init, input, env)?;
        self.each(&fold.source, input, env, &mut |value| {
            let env = Env { values: self.bind(&fold.pattern, value)?, outer: env };
            state = self.one(&fold.update, &state, Some(&env))?;
            match &fold.extract {
                Some(extract) => self.each(extract, &state, Some(&env), take),
                None => take(state.clone()),
            }
        })
    }
}

fn local<'v>(env: Option<&Env<'_, 'v>>, mut out: usize) -> Val<'v> {
    let mut frame = env;
    while let Some(env) = frame {
        match env.values.len().checked_sub(out + 1) {
            Some(index) => return env.values[index].clone(),
            None => out -= env.values.len(),
        }
        frame = env.outer;
    }
    Val::Null
}
