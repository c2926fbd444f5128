//! jq, by jaq: the whole language, recursion and all, since the process around it can be killed. What reads the world
//! is refused when it is called.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::bome;
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

use crate::javascript::{depth, shortened, weight};
use crate::limits::{DEPTH_MAX, OUTPUT_BYTES_MAX, VALUE_BYTES_MAX};
use crate::{Answer, Ended, Limit, Request};

pub(crate) type Data = data::JustLut<Val>;

/// What reads the world, prints, or ends the process.
const WORLD: &[&str] =
    &["halt", "env", "now", "localtime", "strflocaltime", "debug_empty", "stderr_empty", "input", "inputs"];

/// Runs a script: `.` is the value of `stdin`, `$args` and `$env` are its arguments and environment. It gives one
/// value, null if it gives none.
pub fn run(request: &Request) -> Answer {
    match results(request) {
        Ok(value) => Answer::Ended(Ended { value: Some(value), ..Ended::default() }),
        Err(Stop::Limit(limit)) => Answer::Limited(limit),
        Err(Stop::Error(error)) => {
            Answer::Ended(Ended { error: Some(shortened(&error)), ..Ended::default() })
        }
    }
}

/// Filters that are written in jq.
pub(crate) fn definitions() -> impl Iterator<Item = jaq_core::load::parse::Def<&'static str>> {
    jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs())
}

/// A compiler that knows the other filters, and what a script is given.
pub(crate) fn compiler<'s>() -> Compiler<&'s str, Data> {
    let funs = jaq_core::funs::<Data>().chain(jaq_std::funs::<Data>()).chain(jaq_json::funs::<Data>());
    let funs = funs.map(|(name, arguments, run)| match WORLD.contains(&name) {
        true => (
            name,
            arguments,
            jaq_core::Native::new(|_| {
                bome(Err(jaq_core::Error::str("a script reads nothing but its arguments and its input")))
            }),
        ),
        false => (name, arguments, run),
    });
    Compiler::default().with_funs(funs).with_global_vars(["$args", "$env"])
}

enum Stop {
    Error(String),
    Limit(Limit),
}

fn results(request: &Request) -> Result<Value, Stop> {
    let error = |why: &str| Stop::Error(why.to_owned());
    let arena = Arena::default();
    let file = File { code: request.code.as_str(), path: () };
    let modules =
        Loader::new(definitions()).load(&arena, file).map_err(|_| error("the jq code can't be read"))?;
    let filter = compiler().compile(modules).map_err(|_| error("the jq code calls what does not exist"))?;
    let parsed =
        |text: String| read::parse_single(text.as_bytes()).map_err(|_| error("the input can't be read"));
    let json =
        |value: &dyn Fn() -> serde_json::Result<String>| value().map_err(|why| Stop::Error(why.to_string()));
    let input: Val = parsed(json(&|| serde_json::to_string(&request.stdin))?)?;
    let args: Val = parsed(json(&|| serde_json::to_string(&request.arguments))?)?;
    let env: Val = parsed(json(&|| serde_json::to_string(&request.environment))?)?;
    let ctx = Ctx::<Data>::new(&filter.lut, Vars::new([args, env]));
    let mut results = filter.id.run((ctx, input)).map(unwrap_valr);
    let Some(first) = results.next() else { return Ok(Value::Null) };
    let first = first.map_err(|why| Stop::Error(why.to_string()))?;
    match results.next() {
        None => {}
        Some(Err(why)) => return Err(Stop::Error(why.to_string())),
        Some(Ok(_)) => return Err(error("the script gives several values; put it in `[ … ]`")),
    }
    let text = first.to_string();
    if text.len() > OUTPUT_BYTES_MAX {
        return Err(Stop::Limit(Limit::Output));
    }
    let value: Value = serde_json::from_str(&text)
        .map_err(|why| Stop::Error(format!("what it gives is not JSON: {why}")))?;
    if weight(&value) > VALUE_BYTES_MAX {
        return Err(Stop::Limit(Limit::Output));
    }
    if depth(&value) > DEPTH_MAX {
        return Err(Stop::Error(format!("what it gives is nested deeper than {DEPTH_MAX} levels")));
    }
    Ok(value)
}
