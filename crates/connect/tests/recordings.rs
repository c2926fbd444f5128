//! Recorded real answers mean to the manifests what they should. The recordings lie outside the project: in the
//! folder that `TRIBUTARY_RECORDINGS` names, or in `../shared/recordings` beside the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;
use connect::{
    BoxFuture, Catalog, Connection, Location, Manifest, Operation, Secret, Transport, TransportError,
    perform, prepare, wire,
};
use jiff::Timestamp;
use serde_json::{Map, Value};

struct Recording {
    source: String,
    method: String,
    path: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

fn folder() -> PathBuf {
    std::env::var_os("TRIBUTARY_RECORDINGS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings"),
        PathBuf::from,
    )
}

/// The recordings of one vendor; `None`, said aloud, where the folder is not there.
fn recordings(vendor: &str) -> Option<Vec<Recording>> {
    let file = folder().join(format!("{vendor}.jsonl"));
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("SKIPPED: no recordings at {} (set TRIBUTARY_RECORDINGS)", file.display());
        return None;
    };
    Some(text.lines().filter(|line| !line.trim().is_empty()).map(read).collect())
}

fn read(line: &str) -> Recording {
    let value: Value = serde_json::from_str(line).expect("a recording is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let url = url::Url::parse(value["request"]["url"].as_str().expect("a URL")).expect("a URL");
    let headers = value["response"]["headers"].as_object().cloned().unwrap_or_default();
    Recording {
        source: text(&value["source"]),
        method: text(&value["request"]["method"]),
        path: url.path().to_owned(),
        status: u16::try_from(value["response"]["status"].as_u64().expect("a status")).expect("a status"),
        headers: headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        body: text(&value["response"]["body"]),
    }
}

/// The operation that this request calls, with the arguments of its path. Literal paths win over `{…}`.
fn operation<'m>(
    manifest: &'m Manifest,
    recording: &Recording,
) -> Option<(&'m Operation, Map<String, Value>)> {
    let fits = |operation: &'m Operation| {
        let (method, path) = operation.request();
        let mut args = Map::new();
        let theirs: Vec<&str> = recording.path.split('/').collect();
        let ours: Vec<&str> = path.split('/').collect();
        if method != recording.method || theirs.len() != ours.len() {
            return None;
        }
        for (our, their) in ours.iter().zip(theirs) {
            match our.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => drop(args.insert(name.to_owned(), Value::from(their))),
                None if *our == their => {}
                None => return None,
            }
        }
        Some((operation, args))
    };
    manifest.operations().filter_map(fits).min_by_key(|(_, args)| args.len())
}

/// Values that satisfy the required arguments: the answer is recorded, so they don't matter.
fn complete(operation: &Operation, args: &mut Map<String, Value>) {
    for param in operation.params.iter().filter(|param| param.required && param.location != Location::Path) {
        let value = match param.kinds.first().map(|kind| kind.name()) {
            _ if !param.choices.is_empty() => param.choices[0].clone(),
            Some("integer") => 1.into(),
            Some("array") => Value::Array(vec![serde_json::json!({"external_id": "x"})]),
            Some("object") => Value::Object(Map::new()),
            _ => "x".into(),
        };
        args.insert(param.name.clone(), value);
    }
}

struct Once(Mutex<Option<wire::Response>>);

impl Transport for Once {
    fn send(&self, _: wire::Request) -> BoxFuture<'_, Result<wire::Response, TransportError>> {
        let answer = self.0.lock().expect("no panic").take();
        Box::pin(std::future::ready(
            answer.ok_or(TransportError { sent: false, detail: "asked twice".into() }),
        ))
    }
}

fn connection(manifest: &Manifest) -> Connection {
    let secrets =
        manifest.credentials().iter().map(|field| (field.name.clone(), Secret::new("not-a-real-secret")));
    Connection {
        name: "recorded".into(),
        connector: manifest.slug.clone(),
        live: false,
        base_url: None,
        credentials: secrets.collect(),
        access: None,
    }
}

async fn play(
    manifest: &Manifest,
    operation: &Operation,
    recording: &Recording,
    mut args: Map<String, Value>,
) -> Result<Value, connect::Error> {
    complete(operation, &mut args);
    if operation.paginated() {
        args.insert("page".into(), "first".into());
    }
    let prepared = prepare(manifest, operation, &Value::Object(args), "tby_recorded")?;
    let response = wire::Response {
        status: recording.status,
        headers: recording.headers.clone(),
        body: Bytes::from(recording.body.clone()),
    };
    let transport = Once(Mutex::new(Some(response)));
    let now = Timestamp::UNIX_EPOCH;
    perform(&transport, &connection(manifest), manifest, operation, &prepared, now).await
}

/// Plays every recording of an operation that the manifest has. Answers the operations that were met.
async fn play_all(vendor: &str) -> Option<BTreeMap<String, usize>> {
    let recordings = recordings(vendor)?;
    let catalog = Catalog::embedded();
    let manifest = catalog.get(vendor).expect("the manifest");
    let mut met = BTreeMap::new();
    let mut problems = Vec::new();
    let mut others = BTreeSet::new();
    for recording in &recordings {
        let Some((operation, args)) = operation(manifest, recording) else {
            others.insert(format!(
                "{} {}",
                recording.method,
                recording.path.split('/').nth(2).unwrap_or_default()
            ));
            continue;
        };
        *met.entry(operation.name.clone()).or_default() += 1;
        let at = format!("{} {} ({} {})", operation.name, recording.status, recording.source, recording.path);
        let result = play(manifest, operation, recording, args.clone()).await;
        let expected = expected_class(operation, recording);
        let actual = result.as_ref().err().map(|error| error.class.name());
        if expected != actual {
            problems.push(format!("{at}: expected {expected:?}, came out as {result:?}"));
        }
        if let Err(error) = &result
            && error.detail.is_empty()
        {
            problems.push(format!("{at}: an error without words"));
        }
        if result.is_ok() && operation.returns().is_some() {
            let mut args = args;
            args.insert("view".into(), "billing".into());
            if let Err(error) = play(manifest, operation, recording, args).await {
                problems.push(format!("{at}: {error}"));
            }
        }
    }
    println!("{vendor}: {} recordings; of no operation here: {others:?}", recordings.len());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    Some(met)
}

/// What each recorded status means, stated here apart from the manifests.
fn expected_class(operation: &Operation, recording: &Recording) -> Option<&'static str> {
    match recording.status {
        200..300 => None,
        400 | 402 | 422 => Some("user"),
        401 | 403 => Some("auth"),
        404 if recording.method == "DELETE" && operation.name.ends_with(".delete") => None,
        404 => Some("not_found"),
        500.. => Some("retry"),
        other => panic!("nothing is said about {other}"),
    }
}

#[tokio::test]
async fn recorded_stripe_answers_are_understood() {
    let Some(met) = play_all("stripe").await else { return };
    for name in [
        "stripe.subscriptions.retrieve",
        "stripe.subscriptions.create",
        "stripe.invoices.pay",
        "stripe.customers.retrieve",
        "stripe.charges.retrieve",
        "stripe.invoices.retrieve",
    ] {
        assert!(met.contains_key(name), "no recording of {name}: {met:?}");
    }
}

#[tokio::test]
async fn recorded_chartmogul_answers_are_understood() {
    let Some(met) = play_all("chartmogul").await else { return };
    for name in [
        "chartmogul.customers.list",
        "chartmogul.customers.create",
        "chartmogul.invoices.list",
        "chartmogul.plans.list",
        "chartmogul.data_sources.list",
        "chartmogul.data_sources.create",
        "chartmogul.subscriptions.list",
        "chartmogul.metrics.mrr",
        "chartmogul.ping.ping",
    ] {
        assert!(met.contains_key(name), "no recording of {name}: {met:?}");
    }
}
