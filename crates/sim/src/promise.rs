//! What a flow says itself must hold in the end: `document.metadata.verify`.
//!
//! | says | means |
//! |---|---|
//! | `messages: [{each, texts}]` | each event of that type is told by these texts in the chat, each exactly once |
//! | `clock: PT6H` | the chat has `due <time> missed <n>` for every start of a clock with this period, none twice |
//! | `fails: true` | all its runs fail |
//!
//! `texts` is an expression over the event that gives a list; `$decided` has by its title what became of each question
//! to people.

use std::collections::BTreeMap;

use flow::{Document, Expression, duration};
use jiff::SignedDuration;
use serde_json::{Map, Value};

/// A flow's promise.
#[derive(Clone, Debug, Default)]
pub struct Promise {
    pub messages: Vec<Told>,
    /// The period of the flow's clock.
    pub clock: Option<SignedDuration>,
    pub fails: bool,
}

/// Texts for each event of a type.
#[derive(Clone, Debug)]
pub struct Told {
    /// As the vendor names it after the connector: `stripe.invoice.paid`.
    pub each: String,
    texts: Expression,
}

impl Promise {
    /// What a document promises; none: nothing. An error says what of it cannot be read.
    pub fn of(document: &Document) -> Result<Option<Promise>, String> {
        let Some(verify) = document.metadata().get("verify") else { return Ok(None) };
        let fields = verify.as_object().ok_or("it is a mapping")?;
        let mut promise = Promise::default();
        for (name, value) in fields {
            match name.as_str() {
                "messages" => promise.messages = messages(value)?,
                "clock" => promise.clock = Some(duration::from_value(value)?),
                "fails" => promise.fails = value.as_bool().ok_or("`fails` is true or false")?,
                other => return Err(format!("it has no `{other}`: it has `messages`, `clock`, `fails`")),
            }
        }
        Ok(Some(promise))
    }
}

fn messages(value: &Value) -> Result<Vec<Told>, String> {
    let items = value.as_array().ok_or("`messages` is a list of `{each, texts}`")?;
    let told = |item: &Value| {
        let text = |name: &str| item[name].as_str().ok_or_else(|| format!("`messages`: `{name}` is a text"));
        let texts = Expression::parse(text("texts")?).map_err(|problems| {
            let told: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
            format!("`texts`: {}", told.join("; "))
        })?;
        Ok(Told { each: text("each")?.to_owned(), texts })
    };
    items.iter().map(told).collect()
}

impl Told {
    /// The texts for an event.
    pub fn texts(&self, event: &Value, decided: &Map<String, Value>) -> Result<Vec<String>, String> {
        let scope = BTreeMap::from([("decided".to_owned(), Value::Object(decided.clone()))]);
        let texts = self.texts.evaluate(event, &scope).map_err(|fault| fault.to_string())?;
        let texts: Option<Vec<String>> = texts
            .as_array()
            .and_then(|texts| texts.iter().map(|text| Some(text.as_str()?.to_owned())).collect());
        texts.ok_or_else(|| "`texts` gives no list of texts".to_owned())
    }
}
