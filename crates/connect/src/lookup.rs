//! Was this effect already done?

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::credentials::Connection;
use crate::error::{Class, Error};
use crate::manifest::{Manifest, Operation};
use crate::path::Path;
use crate::perform::Call;
use crate::prepare::{Ask, Prepared, prepare};
use crate::transport::Transport;

/// Asks the vendor for what `prepared` was to bring about. `Some` is the record as the operation itself would have
/// answered it; `None` means that it is not there (or, where several records were to be made, not all are), so that
/// sending the same request again does no harm.
///
/// For [`crate::Idempotency::NaturalKey`] call it after a conflict, for [`crate::Idempotency::Lookup`] before sending
/// again. For the others there is nothing to ask, which is a fatal error.
pub async fn lookup(
    transport: &dyn Transport,
    connection: &Connection,
    manifest: &Manifest,
    operation: &Operation,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Option<Value>, Error> {
    let Some(rule) = operation.idempotency.lookup().filter(|_| !prepared.lookups.is_empty()) else {
        return Err(Error::fatal("lookup_impossible", format!("{}: nothing can be looked up", operation.name)));
    };
    let Some(read) = manifest.operation(&rule.operation) else {
        return Err(Error::fatal("lookup_impossible", format!("there is no operation {}", rule.operation)));
    };
    let reading = Call { transport, connection, manifest, operation: read, now };
    let mut records = Vec::new();
    for ask in &prepared.lookups {
        match find(&reading, ask).await? {
            Some(record) => records.push(record),
            None => return Ok(None),
        }
    }
    let found = match &rule.collect {
        Some(name) => Value::Object(Map::from_iter([(name.clone(), Value::Array(records))])),
        None => records.pop().unwrap_or(Value::Null),
    };
    let writing = Call { operation, ..reading };
    writing.view(prepared, found).map(Some)
}

async fn find(call: &Call<'_>, ask: &Ask) -> Result<Option<Value>, Error> {
    let prepared = prepare(call.manifest, call.operation, &ask.with, "")?;
    let conditions: Vec<(Option<Path>, &Value)> =
        ask.r#where.iter().map(|(path, value)| (Path::parse(path), value)).collect();
    let fits = |record: &Value| {
        conditions
            .iter()
            .all(|(path, value)| path.as_ref().and_then(|path| path.get(record)).is_some_and(|found| found == *value))
    };
    let mut output = match call.output(&prepared, Some(&fits)).await {
        Ok(output) => output,
        Err(error) if error.class == Class::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !call.operation.paginated() {
        return Ok(Some(output).filter(fits));
    }
    match output.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items.into_iter().find(fits)),
        _ => Ok(None),
    }
}
