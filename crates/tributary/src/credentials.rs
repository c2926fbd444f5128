//! Where secrets come from: a file, stdin, or a prompt per field. Never the command line, which other users of
//! the machine can read.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

/// A file of credentials larger than this is a mistake.
const INPUT_BYTES_MAX: u64 = 64 * 1024;

/// One credential a connector asks for.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub title: String,
    pub help: String,
    pub secret: bool,
    pub required: bool,
}

/// A JSON object or `name=value` lines (`#` starts a comment line), as a file.
pub fn from_file(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    read(file).with_context(|| format!("in {}", path.display()))
}

/// The same, from standard input.
pub fn from_stdin() -> anyhow::Result<Map<String, Value>> {
    read(std::io::stdin().lock()).context("on standard input")
}

fn read(input: impl std::io::Read) -> anyhow::Result<Map<String, Value>> {
    let mut text = String::new();
    input.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text).context("the credentials are not text")?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("the credentials are larger than {INPUT_BYTES_MAX} bytes");
    }
    parse(&text)
}

/// Errors name lines and fields, never values.
fn parse(text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim_start().starts_with('{') {
        let Ok(Value::Object(map)) = serde_json::from_str::<Value>(text) else {
            bail!("this begins like a JSON object but is not one");
        };
        for (name, value) in &map {
            if !value.is_string() && !value.is_null() {
                bail!("`{name}` is not a string");
            }
        }
        return Ok(map);
    }
    let mut map = Map::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {} is not `name=value` (a JSON object of strings is fine too)", index + 1);
        };
        let value = value.trim();
        let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        map.insert(name.trim().to_owned(), unquoted.into());
    }
    if map.is_empty() {
        bail!("there are no credentials in it");
    }
    Ok(map)
}

/// What stands on the command line: fields that are no secrets, as `name=value`.
///
/// # Errors
/// What is wrong, without any value.
pub fn from_flags(flags: &[String], fields: &[Field]) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    for flag in flags {
        let Some((name, value)) = flag.split_once('=') else {
            return Err("--set takes NAME=VALUE".to_owned());
        };
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let near = flow::nearest::nearest(name, fields.iter().map(|field| field.name.as_str()));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("--set: the connector has no field `{name}`{near}"));
        };
        if field.secret {
            return Err(format!(
                "--set: `{name}` is a secret, which everybody on this machine could read there; give it by a prompt, --from-file or --from-stdin"
            ));
        }
        map.insert(name.to_owned(), value.into());
    }
    Ok(map)
}

/// Asks for every field on the terminal; secret ones without echo. An empty answer leaves the field out.
pub fn from_prompt(fields: &[Field]) -> anyhow::Result<Map<String, Value>> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: give the credentials with --from-stdin or --from-file FILE");
    }
    let mut map = Map::new();
    for field in fields {
        if !field.help.is_empty() {
            eprintln!("  {}", field.help);
        }
        let optional = if field.required { "" } else { " (empty to leave out)" };
        let prompt = format!("{}{optional}: ", field.title);
        let answer = if field.secret {
            rpassword::prompt_password(&prompt).context("cannot read from the terminal")?
        } else {
            eprint!("{prompt}");
            std::io::stderr().flush().context("cannot write to the terminal")?;
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).context("cannot read from the terminal")?;
            line
        };
        let answer = answer.trim();
        if !answer.is_empty() {
            map.insert(field.name.clone(), answer.into());
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_lines_are_understood() {
        let expected = json!({"api_key": "sk_1", "webhook_secret": "whsec_a=b"});
        for text in [
            r#" {"api_key": "sk_1", "webhook_secret": "whsec_a=b"}"#,
            "# stripe\napi_key=sk_1\n\nwebhook_secret = \"whsec_a=b\"\n",
            "api_key=sk_1\r\nwebhook_secret=whsec_a=b",
        ] {
            assert_eq!(Value::Object(parse(text).expect(text)), expected, "{text}");
        }
    }

    #[test]
    fn only_what_is_no_secret_stands_on_the_command_line() {
        let field = |name: &str, secret| Field {
            name: name.to_owned(),
            title: String::new(),
            help: String::new(),
            secret,
            required: true,
        };
        let fields = [field("subdomain", false), field("token", true)];
        let flags = |flags: &[&str]| {
            from_flags(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>(), &fields)
        };
        assert_eq!(Value::Object(flags(&["subdomain=a=b"]).unwrap()), json!({"subdomain": "a=b"}));
        for (flag, says) in [
            ("token=s3cret", "`token` is a secret"),
            ("subdomian=x", "did you mean `subdomain`?"),
            ("subdomain", "NAME=VALUE"),
        ] {
            let wrong = flags(&[flag]).expect_err(flag);
            assert!(wrong.contains(says) && !wrong.contains("s3cret"), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_named_without_the_value() {
        for (text, expected) in [
            ("api_key=sk_1\nsk_secret", "line 2 is not `name=value` (a JSON object of strings is fine too)"),
            ("{\"api_key\": 5}", "`api_key` is not a string"),
            ("{\"api_key\": ", "this begins like a JSON object but is not one"),
            ("\n# only a comment\n", "there are no credentials in it"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), expected);
        }
    }
}
