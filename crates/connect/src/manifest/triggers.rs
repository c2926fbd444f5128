//! The `triggers` section: how events come in.

use std::time::Duration;

use flow::yaml;
use jiff::SignedDuration;
use serde_json::{Map, Value};

use super::auth::credential;
use super::poll::{Bound, Poll, TimeFormat, is_argument};
use super::reader::{At, Fields, Reader};
use super::webhook::{Challenge, Registration, Shape, Webhook};
use super::{CredentialField, Manifest};
use crate::signature::{Scheme, Signed};

const SHAPE: [&str; 7] = ["is_event", "dedupe_key", "type", "time", "live", "subject", "without"];

pub(super) fn section(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    slug: &str,
    known: &[CredentialField],
) -> (Option<Webhook>, Option<Poll>) {
    let fields = reader.fields(at, "`triggers`", &["webhook", "poll"]);
    let webhook = fields.get("webhook").and_then(|at| webhook(reader, &at, slug, known));
    let shape = webhook.as_ref().and_then(|webhook| webhook.shapes.first());
    let poll = fields.get("poll").and_then(|at| poll(reader, &at, slug, shape));
    (webhook, poll)
}

fn webhook(reader: &mut Reader<'_>, at: &At<'_>, slug: &str, known: &[CredentialField]) -> Option<Webhook> {
    let own = ["secret", "verify", "challenge", "answer", "register", "also"];
    let fields = reader.fields(at, "`webhook`", &[&own[..], &SHAPE[..]].concat());
    let secret = reader.required(&fields, "secret").and_then(|at| credential(reader, &at, known));
    let scheme = reader.required(&fields, "verify").map(|at| scheme(reader, &at));
    let mut shapes = vec![shape(reader, &fields, slug, true)];
    for at in fields.get("also").map(|at| at.items()).unwrap_or_default() {
        let fields = reader.fields(&at, "a kind of event", &[&["form"][..], &SHAPE[..]].concat());
        let form = reader.optional_text(&fields, "form");
        shapes.push(shape(reader, &fields, slug, false).map(|shape| Shape { form, ..shape }));
    }
    let answers = [("document", false), ("empty", true)];
    let quiet = fields.get("answer").and_then(|at| reader.choice(&at, "an answer", &answers));
    let challenge = fields.get("challenge").map(|at| challenge(reader, &at));
    let registration = fields.get("register").and_then(|at| registration(reader, &at, slug));
    Some(Webhook {
        secret: secret?,
        scheme: scheme?,
        shapes: shapes.into_iter().collect::<Option<_>>()?,
        challenge,
        quiet: quiet.unwrap_or_default(),
        registration,
    })
}

fn shape(reader: &mut Reader<'_>, fields: &Fields<'_>, slug: &str, timed: bool) -> Option<Shape> {
    let is_event = reader.required(fields, "is_event").map(|at| reader.conditions(&at)).unwrap_or_default();
    let mut path = |name: &str| reader.required(fields, name).and_then(|at| reader.path(&at));
    let (dedupe_key, r#type) = (path("dedupe_key"), path("type"));
    if timed {
        reader.required(fields, "time");
    }
    let time = reader.optional_path(fields, "time");
    let live = reader.optional_path(fields, "live");
    let subject = fields.get("subject").map(|at| reader.paths(&at)).unwrap_or_default();
    let without = fields.get("without").map(|at| reader.paths(&at)).unwrap_or_default();
    Some(Shape {
        slug: slug.to_owned(),
        is_event,
        dedupe_key: dedupe_key?,
        r#type: r#type?,
        time,
        live,
        subject,
        form: None,
        without,
    })
}

fn challenge(reader: &mut Reader<'_>, at: &At<'_>) -> Challenge {
    let fields = reader.fields(at, "`challenge`", &["when", "answer"]);
    let when = reader.required(&fields, "when").map(|at| reader.conditions(&at)).unwrap_or_default();
    let answer = reader.required(&fields, "answer").map(|at| at.entries()).unwrap_or_default();
    let member = |(field, at): (&yaml::Field, At<'_>)| Some((field.name.clone(), reader.path(&at)?));
    Challenge { when, answer: answer.into_iter().filter_map(member).collect() }
}

fn scheme(reader: &mut Reader<'_>, at: &At<'_>) -> Scheme {
    let fields =
        reader.fields(at, "`verify`", &["scheme", "header", "timestamp", "signature", "tolerance_s"]);
    let signed = reader.required(&fields, "scheme");
    let signed = signed.and_then(|at| reader.choice(&at, "a signature scheme", &Signed::NAMES));
    Scheme {
        signed: signed.unwrap_or(Signed::Timestamped),
        header: reader.required_text(&fields, "header"),
        timestamp: reader.required_text(&fields, "timestamp"),
        signature: reader.required_text(&fields, "signature"),
        tolerance: SignedDuration::from_secs(reader.count(&fields, "tolerance_s", 300).cast_signed()),
    }
}

fn registration(reader: &mut Reader<'_>, at: &At<'_>, slug: &str) -> Option<Registration> {
    let own = ["operation", "url", "with", "id", "secret", "remove"];
    let fields = reader.fields(at, "`register`", &own);
    let operation = reader.required_text(&fields, "operation");
    let url = reader.optional_text(&fields, "url").unwrap_or_else(|| "url".to_owned());
    let mut path = |name: &str| reader.required(&fields, name).and_then(|at| reader.path(&at));
    let (id, secret) = (path("id"), path("secret"));
    let remove = reader.required(&fields, "remove")?;
    let remove = reader.fields(&remove, "`remove`", &["operation", "id"]);
    Some(Registration {
        operation: format!("{slug}.{operation}"),
        with: fields.get("with").map_or_else(empty, |at| at.node.to_value()),
        url,
        id: id?,
        secret: secret?,
        remove: format!("{slug}.{}", reader.required_text(&remove, "operation")),
        remove_argument: reader.required_text(&remove, "id"),
    })
}

/// Where it says nothing of what events look like, they look as those of the webhook.
fn poll(reader: &mut Reader<'_>, at: &At<'_>, slug: &str, like: Option<&Shape>) -> Option<Poll> {
    let own = [
        "operation",
        "with",
        "first",
        "since",
        "until",
        "times",
        "every_s",
        "look_back_s",
        "retention_h",
        "order",
    ];
    let fields = reader.fields(at, "`poll`", &[&own[..], &SHAPE[..]].concat());
    let shape = match like {
        Some(like) if SHAPE.iter().all(|name| fields.get(name).is_none()) => Some(like.clone()),
        _ => shape(reader, &fields, slug, true),
    };
    let format =
        fields.get("times").and_then(|at| reader.choice(&at, "a way to write times", &TimeFormat::NAMES));
    let format = format.unwrap_or(TimeFormat::Rfc3339);
    let mut bound = |at: Option<At<'_>>| {
        let at = at?;
        let text = reader.text(&at)?;
        if !is_argument(&text) {
            reader.problem(
                &at,
                "manifest_request",
                format!("`{text}` is no argument such as `created[gte]`"),
            );
        }
        Some(Bound::parse(&text, format))
    };
    let (since, until) = (bound(fields.get("since")), bound(fields.get("until")));
    if fields.get("since").is_none() {
        reader.required(&fields, "since");
    }
    let order = fields
        .get("order")
        .and_then(|at| reader.choice(&at, "an order", &[("newest_first", true), ("oldest_first", false)]));
    let operation = reader.required_text(&fields, "operation");
    let seconds = |reader: &mut Reader<'_>, name: &str, default: u64| {
        SignedDuration::from_secs(reader.count(&fields, name, default).cast_signed())
    };
    Some(Poll {
        operation: format!("{slug}.{operation}"),
        with: fields.get("with").map_or_else(empty, |at| at.node.to_value()),
        first: fields.get("first").map(|at| at.node.to_value()),
        since: since?,
        until,
        every: Duration::from_secs(reader.count(&fields, "every_s", 300)),
        look_back: seconds(reader, "look_back_s", 300),
        retention: fields.get("retention_h").map(|_| reader.hours(&fields, "retention_h", 1)),
        newest_first: order.unwrap_or(true),
        shape: shape?,
    })
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// Operations that the section names and the manifest must have, with the arguments that they are given.
pub(super) fn references(reader: &mut Reader<'_>, at: &At<'_>, manifest: &Manifest) {
    let prefix = format!("{}.", manifest.slug);
    let names = manifest.operations.names();
    let names: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(prefix.as_str())).collect();
    let mut used: Vec<(&str, Vec<String>, bool)> = Vec::new();
    if let Some(poll) = &manifest.poll {
        let arguments = poll.arguments(jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
        let given = arguments.iter().flat_map(keys).collect();
        used.push((&poll.operation, given, true));
    }
    if let Some(registration) = manifest.webhook.as_ref().and_then(Webhook::registration) {
        used.push((&registration.operation, keys(&registration.arguments("")).collect(), false));
        used.push((&registration.remove, keys(&registration.removal("")).collect(), false));
    }
    for (name, given, list) in used {
        let short = name.strip_prefix(prefix.as_str()).unwrap_or(name);
        let Some(operation) = manifest.operations.get(name) else {
            reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", short, &names);
            continue;
        };
        if list && operation.pages.is_none() {
            reader.problem(at, "manifest_unknown", format!("`{short}` is no list of this manifest"));
        }
        let known: Vec<&str> = operation.params.iter().map(|param| param.name.as_str()).collect();
        for argument in given.iter().filter(|argument| !known.contains(&argument.as_str())) {
            let what = format!("a parameter of `{short}`");
            reader.unknown(at.node.place, &at.pointer, &what, argument, &known);
        }
    }
}

fn keys(value: &Value) -> impl Iterator<Item = String> {
    value.as_object().into_iter().flat_map(|members| members.keys().cloned().collect::<Vec<_>>())
}
