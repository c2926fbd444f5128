//! What a flow says of a script, and what the flow is told of it.

use serde_json::{Map, Value, json};

use crate::limits::Limit;
use crate::{Answer, Ended, Language, Request};
use flow::Fault;

/// `run: script` with everything evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub request: Request,
    returns: Returns,
}

/// What of a script becomes the task's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returns {
    /// What it returned, else what it printed.
    Value,
    Stdout,
    Stderr,
    Code,
    All,
    None,
}

impl Task {
    /// Reads `{language, code, arguments, environment, stdin, return}`.
    ///
    /// # Errors
    /// Says which part cannot be used.
    pub fn read(with: &Value) -> Result<Task, Fault> {
        let text = |name: &str| with[name].as_str().unwrap_or_default();
        let language = match text("language") {
            "js" | "javascript" => Language::JavaScript,
            "jq" => Language::Jq,
            other => return Err(Fault::configuration(format!("scripts are not written in `{other}`"))),
        };
        let arguments = match &with["arguments"] {
            Value::Null => Vec::new(),
            Value::Array(arguments) => arguments.clone(),
            _ => return Err(Fault::validation("`arguments` of a script must be a list")),
        };
        let environment = match &with["environment"] {
            Value::Null => Map::new(),
            Value::Object(environment) => environment.clone(),
            _ => return Err(Fault::validation("`environment` of a script must be a mapping")),
        };
        let as_text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let returns = match text("return") {
            "" => Returns::Value,
            "stdout" => Returns::Stdout,
            "stderr" => Returns::Stderr,
            "code" => Returns::Code,
            "all" => Returns::All,
            "none" => Returns::None,
            other => return Err(Fault::configuration(format!("`return: {other}` is not known"))),
        };
        let request = Request {
            language,
            code: text("code").to_owned(),
            arguments,
            environment: environment.into_iter().map(|(name, value)| (name, as_text(value))).collect(),
            stdin: with["stdin"].clone(),
        };
        Ok(Task { request, returns })
    }

    /// The task's output, or its fault. An error of the script's own is a fault, unless the flow asks for the code.
    ///
    /// # Errors
    /// As the script failed.
    pub fn finish(&self, answer: Answer) -> Result<Value, Fault> {
        let ended = match answer {
            Answer::Ended(ended) => ended,
            Answer::Limited(limit) => return Err(limited(limit)),
            Answer::Refused(why) => return Err(Fault::runtime(why)),
        };
        let code = i32::from(ended.error.is_some());
        let Ended { value, stdout, mut stderr, error } = ended;
        if let Some(error) = error {
            if !matches!(self.returns, Returns::Code | Returns::All) {
                return Err(Fault::runtime(format!("the script failed: {error}")));
            }
            stderr.push_str(&error);
            stderr.push('\n');
        }
        Ok(match self.returns {
            Returns::Value => value.unwrap_or(Value::String(stdout)),
            Returns::Stdout => stdout.into(),
            Returns::Stderr => stderr.into(),
            Returns::Code => code.into(),
            Returns::All => json!({"code": code, "stdout": stdout, "stderr": stderr}),
            Returns::None => Value::Null,
        })
    }

    /// Runs it in this process: see [`crate::here`].
    ///
    /// # Errors
    /// As the script failed.
    pub fn here(with: &Value) -> Result<Value, Fault> {
        let task = Task::read(with)?;
        let answer = crate::here(&task.request);
        task.finish(answer)
    }
}

/// The fault of a script that met a bound.
pub fn limited(limit: Limit) -> Fault {
    Fault::coded("script_limit", 500, "A script met a limit", limit.to_string())
        .with_data(json!({"limit": limit.name()}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(value: Option<Value>, error: Option<&str>) -> Answer {
        let (stdout, stderr) = ("out\n".to_owned(), "err\n".to_owned());
        Answer::Ended(Ended { value, stdout, stderr, error: error.map(str::to_owned) })
    }

    fn task(returns: &str) -> Task {
        Task::read(&json!({"language": "js", "code": "1", "return": returns})).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_the_output() {
        for (returns, value, output) in [
            ("", Some(json!({"n": 1})), json!({"n": 1})),
            ("", Some(json!(null)), json!(null)),
            ("", None, json!("out\n")),
            ("stdout", Some(json!(1)), json!("out\n")),
            ("stderr", None, json!("err\n")),
            ("code", None, json!(0)),
            ("all", Some(json!(1)), json!({"code": 0, "stdout": "out\n", "stderr": "err\n"})),
            ("none", Some(json!(1)), json!(null)),
        ] {
            assert_eq!(task(returns).finish(ended(value, None)), Ok(output), "{returns}");
        }
    }

    #[test]
    fn an_error_is_a_fault_unless_the_code_is_asked_for() {
        for returns in ["", "stdout", "stderr", "none"] {
            let fault = task(returns).finish(ended(None, Some("Error: no"))).unwrap_err();
            assert_eq!((fault.code(), fault.detail.as_str()), ("runtime", "the script failed: Error: no"));
        }
        assert_eq!(task("code").finish(ended(None, Some("no"))), Ok(json!(1)));
        let all = json!({"code": 1, "stdout": "out\n", "stderr": "err\nno\n"});
        assert_eq!(task("all").finish(ended(None, Some("no"))), Ok(all));
        let fault = task("code").finish(Answer::Limited(Limit::Memory)).unwrap_err();
        assert_eq!((fault.code(), &fault.data), ("script_limit", &Some(json!({"limit": "memory"}))));
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for (with, part) in [
            (json!({"language": "cobol", "code": "1"}), "`cobol`"),
            (json!({"language": "js", "code": "1", "arguments": {}}), "a list"),
            (json!({"language": "js", "code": "1", "environment": []}), "a mapping"),
            (json!({"language": "js", "code": "1", "return": "much"}), "`return: much`"),
        ] {
            let fault = Task::read(&with).unwrap_err();
            assert!(fault.detail.contains(part), "{fault}");
        }
    }
}
