//! Was this effect already done?

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::credentials::Connection;
use crate::error::{Class, Error};
use crate::manifest::{Kind, Lookup, Made, Manifest, Operation, Resolve, Template};
use crate::path::Path;
use crate::perform::Call;
use crate::prepare::{Ask, Prepared, prepare};
use crate::transport::Transport;

/// The vendor's clock may be so much behind ours: a message that is missed would be sent twice, a day of others is read.
const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_hours(24);

/// Asks the vendor for what `prepared` was to bring about. `Some` is the record as the operation itself would have
/// answered it; `None` means that it is not there (or, where several records were to be made, not all are), so that
/// sending the same request again does no harm.
///
/// For [`crate::Idempotency::NaturalKey`] call it after a conflict, for [`crate::Idempotency::Lookup`] before sending
/// again. For the others there is nothing to ask, which is a fatal error. `sent` is when it was sent first: what is older
/// is not read, where the manifest says how.
pub async fn lookup(
    transport: &dyn Transport,
    connection: &Connection,
    manifest: &Manifest,
    operation: &Operation,
    prepared: &Prepared,
    sent: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Value>, Error> {
    let Some(rule) = operation.idempotency.lookup().filter(|_| !prepared.lookups.is_empty()) else {
        return Err(Error::fatal(
            "lookup_impossible",
            format!("{}: nothing can be looked up", operation.name),
        ));
    };
    let asking = Asking { transport, connection, manifest, now };
    // A sandbox twin has a time of its own, which ours says nothing of.
    let sent = sent.filter(|_| connection.base_url.is_none());
    let mut records = Vec::new();
    for ask in &prepared.lookups {
        match asking.some(rule, ask, true, sent).await?.pop() {
            Some(record) => records.push(record),
            None => return Ok(None),
        }
    }
    let found = match &rule.collect {
        Some(name) => Value::Object(Map::from_iter([(name.clone(), Value::Array(records))])),
        None => records.pop().unwrap_or(Value::Null),
    };
    asking.call(operation).view(prepared, found).map(Some)
}

pub(crate) struct Asking<'a> {
    pub transport: &'a dyn Transport,
    pub connection: &'a Connection,
    pub manifest: &'a Manifest,
    pub now: Timestamp,
}

impl<'a> Asking<'a> {
    fn call(&self, operation: &'a Operation) -> Call<'a> {
        let Asking { transport, connection, manifest, now } = *self;
        Call { transport, connection, manifest, operation, now }
    }

    fn read(&self, name: &str) -> Result<Call<'a>, Error> {
        let found = self.manifest.operation(name).map(|operation| self.call(operation));
        found.ok_or_else(|| Error::fatal("lookup_impossible", format!("there is no operation {name}")))
    }

    /// Every record that fits.
    pub async fn all(&self, rule: &Lookup, ask: &Ask) -> Result<Vec<Value>, Error> {
        match self.some(rule, ask, false, None).await {
            // Some vendors say so where they find nothing.
            Err(error) if error.class == Class::NotFound => Ok(Vec::new()),
            found => found,
        }
    }

    /// The records that fit, or only the first one, of an effect that was sent at a time.
    async fn some(
        &self,
        rule: &Lookup,
        ask: &Ask,
        first: bool,
        sent: Option<Timestamp>,
    ) -> Result<Vec<Value>, Error> {
        let instead = rule.instead.as_ref().filter(|_| ask.instead);
        let (operation, templates) =
            instead.map_or((&rule.operation, &rule.with), |other| (&other.operation, &other.with));
        let call = self.read(operation)?;
        let mut with = ask.with.clone();
        if let Some(sent) = sent {
            since(call.operation, templates, sent, &mut with);
        }
        if let Some(resolve) = &rule.resolve {
            self.resolve(resolve, &mut with).await?;
        }
        let prepared = prepare(call.manifest, call.operation, &with, "")?;
        let conditions: Vec<(Option<Path>, &Value)> =
            ask.r#where.iter().map(|(path, value)| (Path::parse(path), value)).collect();
        let fits = |record: &Value| {
            conditions
                .iter()
                .all(|(path, value)| path.as_ref().and_then(|path| path.get(record)) == Some(*value))
        };
        let paginated = call.operation.paginated();
        let mut output = match call.output(&prepared, (paginated && first).then_some(&fits)).await {
            Ok(output) => output,
            // One record that is not there was not made. A list that is not there says nothing about its records.
            Err(error) if error.class == Class::NotFound && !paginated => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let records = match (&rule.within, paginated) {
            (Some(path), _) => path.get_mut(&mut output).map(Value::take),
            (None, true) => output.get_mut("items").map(Value::take),
            (None, false) => Some(Value::Array(vec![output])),
        };
        let Some(Value::Array(records)) = records else {
            let detail = format!("{operation}: the answer has no records");
            return Err(Error::fatal("answer_unexpected", detail));
        };
        let count = if first { 1 } else { usize::MAX };
        Ok(records.into_iter().filter(fits).take(count).map(|found| answer(rule, &with, found)).collect())
    }

    /// Replaces a name among the arguments by its id.
    async fn resolve(&self, resolve: &Resolve, with: &mut Value) -> Result<(), Error> {
        let Some(argument) = with.get_mut(&resolve.argument) else { return Ok(()) };
        let Some(text) = argument.as_str() else { return Ok(()) };
        if text.chars().all(|c| resolve.id_alphabet.contains(c)) {
            let opened = resolve.instead.as_ref();
            let of = |start: &String| text.starts_with(start.as_str());
            let Some(opened) = opened.filter(|opened| opened.starts.iter().any(of)) else { return Ok(()) };
            let call = self.read(&opened.operation)?;
            let given = Value::Object(Map::from_iter([(opened.argument.clone(), Value::from(text))]));
            let output = call.output(&prepare(call.manifest, call.operation, &given, "")?, None).await?;
            let id = opened.id.get(&output).ok_or_else(|| {
                let detail = format!("{}: the answer has no `{}`", opened.operation, opened.id.as_str());
                Error::fatal("answer_unexpected", detail)
            })?;
            *argument = id.clone();
            return Ok(());
        }
        let name = Value::from(text.strip_prefix(resolve.strip.as_str()).unwrap_or(text));
        let call = self.read(&resolve.operation)?;
        let prepared = prepare(call.manifest, call.operation, &resolve.with, "")?;
        let named = |record: &Value| resolve.name.get(record) == Some(&name);
        let output = call.output(&prepared, Some(&named)).await?;
        let record =
            output["items"].as_array().and_then(|records| records.iter().find(|record| named(record)));
        match record.and_then(|record| resolve.id.get(record)) {
            Some(id) => *argument = id.clone(),
            None => {
                let detail = format!("{}: there is no {name}", resolve.operation);
                return Err(Error::fatal("lookup_impossible", detail));
            }
        }
        Ok(())
    }
}

/// Puts the time from which on the effect may have been made where the read wants it: as a text, where it takes texts.
fn since(read: &Operation, templates: &[(String, Template)], sent: Timestamp, with: &mut Value) {
    let at = sent.saturating_sub(CLOCKS_DIFFER_MAX).unwrap_or(sent).as_second();
    for (name, _) in templates.iter().filter(|(_, template)| matches!(template, Template::Since)) {
        let param = read.params.iter().find(|param| param.name == *name);
        let text = param.is_some_and(|param| param.kinds.contains(&Kind::String));
        with[name.as_str()] = if text { Value::from(at.to_string()) } else { Value::from(at) };
    }
}

/// What was found, as the operation itself would have answered it.
fn answer(rule: &Lookup, with: &Value, found: Value) -> Value {
    if rule.answer.is_empty() {
        return found;
    }
    let member = |(name, made): &(String, Made)| {
        let value = match made {
            Made::Constant(value) => value.clone(),
            Made::With(path) => path.get(with).cloned().unwrap_or_default(),
            Made::Found(path) => path.get(&found).cloned().unwrap_or_default(),
        };
        (name.clone(), value)
    };
    Value::Object(rule.answer.iter().map(member).collect())
}
