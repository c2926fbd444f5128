//! JavaScript, by QuickJS: a fresh heap for each script, bounded in bytes and steps.
//!
//! The code is the body of an asynchronous function: `return` gives its value, `await` works. There are no modules, and
//! nothing that reads the world: QuickJS has none of it by itself, and `prelude.js` takes the clock and chance away.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rquickjs::context::{EvalOptions, intrinsic};
use rquickjs::promise::PromiseState;
use rquickjs::{Coerced, Context, Ctx, Error, Function, Promise, Runtime};
use serde_json::Value;

use crate::limits::{
    DEPTH_MAX, JOBS_MAX, Limit, MEMORY_BYTES_MAX, MESSAGE_MAX, OUTPUT_BYTES_MAX, STACK_BYTES_MAX, STEPS_MAX,
    VALUE_BYTES_MAX,
};
use crate::{Answer, Ended, Request};

const PRELUDE: &str = include_str!("prelude.js");

/// All that the language has but the clock of `performance` and references that tell when memory is given back.
pub(crate) type Intrinsics = (
    intrinsic::Date,
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
);

/// What a script prints.
#[derive(Default)]
struct Console {
    out: RefCell<String>,
    err: RefCell<String>,
    over: Cell<bool>,
}

impl Console {
    /// Whether there was room for it.
    fn write(&self, error: bool, text: &str) -> bool {
        let length = self.out.borrow().len() + self.err.borrow().len() + text.len();
        if length > OUTPUT_BYTES_MAX {
            self.over.set(true);
            return false;
        }
        let channel = if error { &self.err } else { &self.out };
        channel.borrow_mut().push_str(text);
        true
    }
}

/// How a script's function came to its end.
enum End {
    /// JSON of what it returned.
    Returned(Option<String>),
    /// It waits for what nobody will ever resolve.
    Stuck,
    Jobs,
}

/// Runs a script.
pub fn run(request: &Request) -> Answer {
    let mut answer = Answer::Limited(Limit::Memory);
    answered(request, |found| answer = found);
    answer
}

/// Runs a script and tells the answer before its heap is taken down, which a process that ends can spare itself.
pub fn answered(request: &Request, tell: impl FnOnce(Answer)) {
    let Ok(runtime) = Runtime::new() else { return tell(Answer::Limited(Limit::Memory)) };
    runtime.set_memory_limit(MEMORY_BYTES_MAX);
    runtime.set_max_stack_size(STACK_BYTES_MAX);
    let steps = Rc::new(Cell::new(0));
    let counted = steps.clone();
    runtime.set_interrupt_handler(Some(Box::new(move || {
        counted.set(counted.get() + 1);
        counted.get() > STEPS_MAX
    })));
    let Ok(context) = Context::builder().with::<Intrinsics>().build(&runtime) else {
        return tell(Answer::Limited(Limit::Memory));
    };
    let console = Rc::new(Console::default());
    context.with(|ctx| {
        let end = perform(&ctx, request, &console);
        let over = |steps: &Cell<u64>| steps.get() > STEPS_MAX;
        let answer = match end {
            _ if over(&steps) => Answer::Limited(Limit::Steps),
            _ if console.over.get() => Answer::Limited(Limit::Output),
            Ok(End::Jobs) => Answer::Limited(Limit::Steps),
            Ok(End::Returned(text)) => returned(text, &console),
            Ok(End::Stuck) => ended(&console, None, Some("it waits for what never comes".to_owned())),
            Err(error) => match describe(&ctx, &error) {
                // Telling the error may have been what took the last steps.
                _ if over(&steps) => Answer::Limited(Limit::Steps),
                Some(error) => ended(&console, None, Some(error)),
                None => Answer::Limited(Limit::Memory),
            },
        };
        tell(answer);
    });
}

fn perform(ctx: &Ctx<'_>, request: &Request, console: &Rc<Console>) -> Result<End, Error> {
    let console = console.clone();
    let write = Function::new(ctx.clone(), move |error: bool, text: String| console.write(error, &text))?;
    let stdin = match &request.stdin {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let prelude: Function<'_> = ctx.eval(PRELUDE)?;
    let (args, env, input) =
        (value(ctx, &request.arguments)?, value(ctx, &request.environment)?, value(ctx, &request.stdin)?);
    prelude.call::<_, ()>((write, args, env, stdin, input))?;
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some("script".to_owned());
    // On the first line, so that the lines of errors are those of the code.
    let code = format!("(async () => {{{}\n}})()", request.code);
    let promise: Promise<'_> = ctx.eval_with_options(code, options)?;
    let mut jobs = 0;
    while promise.state() == PromiseState::Pending && ctx.execute_pending_job() {
        jobs += 1;
        if jobs > JOBS_MAX {
            return Ok(End::Jobs);
        }
    }
    let value: rquickjs::Value<'_> = match promise.result() {
        None => return Ok(End::Stuck),
        Some(result) => result?,
    };
    let text = ctx.json_stringify(value)?;
    Ok(End::Returned(text.map(|text| text.to_string()).transpose()?))
}

fn value<'js>(ctx: &Ctx<'js>, value: &impl serde::Serialize) -> Result<rquickjs::Value<'js>, Error> {
    ctx.json_parse(serde_json::to_string(value).unwrap_or_default())
}

/// What a script returned, if it is not too much.
fn returned(text: Option<String>, console: &Console) -> Answer {
    let Some(text) = text else { return ended(console, None, None) };
    if text.len() + console.out.borrow().len() + console.err.borrow().len() > OUTPUT_BYTES_MAX {
        return Answer::Limited(Limit::Output);
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if weight(&value) > VALUE_BYTES_MAX => Answer::Limited(Limit::Output),
        Ok(value) if depth(&value) <= DEPTH_MAX => ended(console, Some(value), None),
        Ok(_) => ended(console, None, Some(too_deep())),
        Err(error) if error.to_string().contains("recursion") => ended(console, None, Some(too_deep())),
        Err(error) => ended(console, None, Some(format!("what it returns is not JSON: {error}"))),
    }
}

fn too_deep() -> String {
    format!("what it returns is nested deeper than {DEPTH_MAX} levels")
}

fn ended(console: &Console, value: Option<Value>, error: Option<String>) -> Answer {
    let (stdout, stderr) = (console.out.take(), console.err.take());
    Answer::Ended(Ended { value, stdout, stderr, error })
}

/// How many levels a value has.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The memory that a value takes, in bytes, roughly.
pub(crate) fn weight(value: &Value) -> usize {
    const EACH: usize = 32;
    const FIELD: usize = 64;
    match value {
        Value::String(text) => EACH + text.len(),
        Value::Array(items) => EACH + items.iter().map(weight).sum::<usize>(),
        Value::Object(fields) => {
            EACH + fields.iter().map(|(name, field)| FIELD + name.len() + weight(field)).sum::<usize>()
        }
        _ => EACH,
    }
}

/// An error in words, with its place; `None` if memory ran out.
fn describe(ctx: &Ctx<'_>, error: &Error) -> Option<String> {
    if matches!(error, Error::Allocation) {
        return None;
    }
    if !error.is_exception() {
        return Some(shortened(&error.to_string()));
    }
    let thrown = ctx.catch();
    if thrown.is_null() {
        return None;
    }
    let place = thrown.as_exception().and_then(|exception| exception.stack()).unwrap_or_default();
    let words = thrown
        .get::<Coerced<String>>()
        .map_or_else(|_| "an error that has no words".to_owned(), |text| text.0);
    // One text or list that would be more than there is room for.
    if words == "InternalError: out of memory" || words == "InternalError: string too long" {
        return None;
    }
    let place = place.lines().next().map(|line| format!(" ({})", line.trim())).unwrap_or_default();
    Some(shortened(&format!("{words}{place}")))
}

pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
