//! A whole manifest: its sections, and what must fit between them.

use std::collections::BTreeMap;

use flow::Diagnostic;
use flow::yaml;
use url::Url;

use super::auth;
use super::calls::{self, Scope};
use super::operations::{self as all, Operations, Text};
use super::reader::{At, Fields, Reader};
use super::{
    CredentialField, Encoding, FORMAT, Manifest, Operation, Pages, asking, before, errors, limits, selftest,
    triggers, views,
};
use crate::path::Path;
use crate::view::View;

/// First words of calls that are no connector's.
const OWN_SETS: [&str; 2] = ["human", "revenue"];
const SECTIONS: [&str; 22] = [
    "manifest",
    "slug",
    "title",
    "version",
    "summary",
    "access",
    "base_url",
    "hosts",
    "credentials",
    "auth",
    "request",
    "pagination",
    "limits",
    "errors",
    "parameters",
    "operations",
    "check",
    "scopes_header",
    "triggers",
    "asking",
    "views",
    "tests",
];

pub(super) fn manifest(file: &str, text: &Text) -> Result<Manifest, Vec<Diagnostic>> {
    let (first, second) = all::parts(text);
    let root = yaml::parse(file, first)?;
    let mut reader = Reader::new(file);
    let source = Source { file, text, second };
    let manifest = sections(&mut reader, &At { node: &root, pointer: String::new() }, &source);
    let mut problems = reader.problems;
    match manifest {
        Some(manifest) if problems.is_empty() => Ok(Manifest { digest: digest(text), ..manifest }),
        _ => {
            problems.sort();
            problems.dedup();
            Err(problems)
        }
    }
}

/// Names a text: 32 hexadecimal digits of its SHA-256.
pub(crate) fn digest(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The text that a manifest is read from, and where its second part begins.
struct Source<'a> {
    file: &'a str,
    text: &'a Text,
    second: Option<usize>,
}

fn sections(reader: &mut Reader<'_>, root: &At<'_>, source: &Source<'_>) -> Option<Manifest> {
    let fields = reader.fields(root, "a manifest", &SECTIONS);
    format(reader, &fields);
    let slug = slug(reader, &fields);
    let (base_url, hosts) = hosts(reader, &fields);
    let credentials =
        reader.required(&fields, "credentials").map(|at| credentials(reader, &at)).unwrap_or_default();
    let auth = reader.required(&fields, "auth").and_then(|at| {
        let title = fields.get("title").and_then(|at| at.node.as_str().map(str::to_owned));
        let title = title.unwrap_or_else(|| slug.clone());
        let scope =
            auth::Scope { credentials: &credentials, hosts: &hosts, base_url: base_url.as_ref(), title };
        auth::section(reader, &at, &scope)
    });
    let request = request(reader, &fields, &slug);
    let (pages, nested_url) = fields.get("pagination").map(|at| pagination(reader, &at)).unwrap_or_default();
    let scope = Scope {
        slug: slug.clone(),
        encoding: request.encoding,
        parameters: fields.get("parameters"),
        pages,
        nested_url,
        idempotency: request.idempotency,
        hosts: hosts.clone(),
        listed: false,
    };
    if let Some(at) = &scope.parameters {
        calls::groups(reader, at);
    }
    let own = reader.required(&fields, "operations").map(|at| operations(reader, &at, &scope));
    let operations =
        Operations::new(own.unwrap_or_default(), &scope, source.file, source.text, source.second);
    let views = fields.get("views").map(|at| views_of(reader, &at)).unwrap_or_default();
    let errors =
        reader.required(&fields, "errors").map(|at| errors::section(reader, &at)).unwrap_or_default();
    let (webhook, poll) = match fields.get("triggers") {
        Some(at) => triggers::section(reader, &at, &slug, &credentials),
        None => (None, None),
    };
    let manifest = Manifest {
        title: reader.required_text(&fields, "title"),
        version: reader.required_text(&fields, "version"),
        summary: reader.required_text(&fields, "summary"),
        access: reader.optional_text(&fields, "access"),
        limits: limits::read(reader, &fields),
        check: reader.optional_text(&fields, "check").map(|name| format!("{slug}.{name}")),
        scopes_header: reader.optional_text(&fields, "scopes_header"),
        tests: fields.get("tests").map(|at| selftest::cases(reader, &at, &slug)).unwrap_or_default(),
        headers: request.headers,
        operations,
        // Only now, when all else has been read and its problems noted.
        base_url: base_url?,
        auth: auth?,
        hosts,
        errors,
        asking: fields.get("asking").and_then(|at| asking::section(reader, &at, &slug)),
        webhook,
        poll,
        credentials,
        views,
        slug,
        digest: String::new(),
    };
    references(reader, &fields, &manifest);
    Some(manifest)
}

fn format(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    if let Some(at) = reader.required(fields, "manifest")
        && at.node.to_value().as_u64() != Some(FORMAT)
    {
        reader.problem(&at, "manifest_version", format!("this build reads `manifest: {FORMAT}`"));
    }
}

fn slug(reader: &mut Reader<'_>, fields: &Fields<'_>) -> String {
    let slug = reader.required_text(fields, "slug");
    let sound = slug.starts_with(|c: char| c.is_ascii_lowercase())
        && slug.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !sound && let Some(at) = fields.get("slug") {
        reader.problem(
            &at,
            "manifest_slug",
            "a slug is lower-case letters, digits and `_`, beginning with a letter",
        );
    }
    if OWN_SETS.contains(&slug.as_str())
        && let Some(at) = fields.get("slug")
    {
        let message = format!("`{slug}` is the name of functions that Tributary has itself");
        reader.problem(&at, "manifest_slug", message);
    }
    slug
}

fn hosts(reader: &mut Reader<'_>, fields: &Fields<'_>) -> (Option<Url>, Vec<String>) {
    let hosts = reader.required(fields, "hosts").map(|at| reader.texts(&at)).unwrap_or_default();
    let Some(at) = reader.required(fields, "base_url") else { return (None, hosts) };
    let url = reader.text(&at).and_then(|text| Url::parse(&text).ok());
    let plain = |url: &Url| url.scheme() == "https" && url.path() == "/" && url.query().is_none();
    match url {
        Some(url) if plain(&url) => {
            if !hosts.iter().any(|host| Some(host.as_str()) == url.host_str()) {
                reader.problem(&at, "manifest_host", "the host of `base_url` is not among `hosts`");
            }
            (Some(url), hosts)
        }
        _ => {
            reader.problem(
                &at,
                "manifest_host",
                "`base_url` is `https://` and a host; paths stand in the operations",
            );
            (None, hosts)
        }
    }
}

fn credentials(reader: &mut Reader<'_>, at: &At<'_>) -> Vec<CredentialField> {
    let mut out = Vec::new();
    for (field, at) in at.entries() {
        let fields =
            reader.fields(&at, "a credential", &["title", "secret", "required", "help", "live", "test"]);
        let mut prefixes = |name: &str| fields.get(name).map(|at| reader.texts(&at)).unwrap_or_default();
        let (live, test) = (prefixes("live"), prefixes("test"));
        out.push(CredentialField {
            name: field.name.clone(),
            title: reader.required_text(&fields, "title"),
            secret: reader.flag(&fields, "secret", true),
            required: reader.flag(&fields, "required", true),
            help: reader.required_text(&fields, "help"),
            live,
            test,
        });
    }
    out
}

/// What the requests of a manifest have in common.
struct Request {
    encoding: Encoding,
    headers: Vec<(String, String)>,
    idempotency: Option<super::Idempotency>,
}

fn request(reader: &mut Reader<'_>, fields: &Fields<'_>, slug: &str) -> Request {
    let mut request = Request { encoding: Encoding::Json, headers: Vec::new(), idempotency: None };
    let Some(at) = fields.get("request") else { return request };
    let fields = reader.fields(&at, "`request`", &["encoding", "headers", "idempotency"]);
    if let Some(encoding) = fields.get("encoding").and_then(|at| calls::encoding(reader, &at)) {
        request.encoding = encoding;
    }
    if let Some(headers) = fields.get("headers") {
        for (field, at) in headers.entries() {
            request.headers.extend(reader.text(&at).map(|value| (field.name.clone(), value)));
        }
    }
    request.idempotency = fields.get("idempotency").and_then(|at| calls::idempotency(reader, &at, slug));
    request
}

fn pagination(reader: &mut Reader<'_>, at: &At<'_>) -> (Option<Pages>, Option<Path>) {
    // Two levels: how pages go on, and where a list inside a record names its address.
    let fields = reader.fields(at, "`pagination`", &["pages", "nested_url"]);
    let pages = reader.required(&fields, "pages").and_then(|at| calls::pages(reader, &at, None));
    (pages, reader.optional_path(&fields, "nested_url"))
}

fn operations(reader: &mut Reader<'_>, at: &At<'_>, scope: &Scope<'_>) -> BTreeMap<String, Operation> {
    let mut out = BTreeMap::new();
    for (field, at) in at.entries() {
        if !is_operation_name(&field.name) {
            reader.problem(
                &at,
                "manifest_operation",
                format!("`{}` is not named `resource.verb`", field.name),
            );
        }
        if let Some(operation) = calls::operation(reader, &field.name, &at, scope) {
            out.insert(operation.name.clone(), operation);
        }
    }
    out
}

/// `resource.verb`, the resource in as many parts as the vendor has.
pub(super) fn is_operation_name(name: &str) -> bool {
    name.contains('.')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c))
}

fn views_of(reader: &mut Reader<'_>, at: &At<'_>) -> BTreeMap<String, View> {
    at.entries().iter().map(|(field, at)| (field.name.clone(), views::view(reader, at))).collect()
}

/// Names of operations and objects that one section gives and another one uses.
fn references(reader: &mut Reader<'_>, fields: &Fields<'_>, manifest: &Manifest) {
    let prefix = format!("{}.", manifest.slug);
    let names: Vec<&str> = manifest.operations.names();
    let names: Vec<&str> = names.into_iter().filter_map(|name| name.strip_prefix(prefix.as_str())).collect();
    let short = |name: &str| name.strip_prefix(prefix.as_str()).unwrap_or(name).to_owned();
    if let (Some(at), Some(check)) = (fields.get("check"), &manifest.check) {
        match manifest.operations.stated(check) {
            None => {
                let name = short(check);
                reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", &name, &names);
            }
            Some(operation) if operation.params.iter().any(|param| param.required) => {
                reader.problem(&at, "manifest_request", "the check needs no arguments");
            }
            Some(_) => {}
        }
    }
    if let Some(at) = fields.get("triggers") {
        triggers::references(reader, &at, manifest);
    }
    if let Some(at) = fields.get("asking") {
        asking::references(reader, &at, manifest);
    }
    let Some(section) = fields.get("operations") else { return };
    for (field, at) in section.entries() {
        let Some(operation) = manifest.operations.stated(&format!("{prefix}{}", field.name)) else {
            continue;
        };
        if let Some(lookup) = operation.idempotency.lookup() {
            check_lookup(reader, &at, manifest, lookup, &names);
        }
        before::operations(reader, &at, manifest, operation, &names);
        if let Some(upsert) = &operation.upsert {
            check_lookup(reader, &at, manifest, &upsert.find, &names);
            check_upsert(reader, &at, manifest, operation, upsert, &names);
        }
        let mapped = |object: &String| manifest.views.values().any(|view| view.maps(object));
        if let Some(object) = operation.returns.as_ref().filter(|object| !mapped(object)) {
            reader.problem(&at, "manifest_unknown", format!("no view has an object `{object}`"));
        }
    }
    if let Some(section) = fields.get("tests") {
        for (case, at) in manifest.tests.iter().zip(section.items()) {
            if manifest.operations.stated(&case.operation).is_none() {
                let name = short(&case.operation);
                reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", &name, &names);
            }
        }
    }
}

/// Its parameters are somebody's, and its writes are there.
fn check_upsert(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    manifest: &Manifest,
    operation: &Operation,
    upsert: &super::Upsert,
    names: &[&str],
) {
    let stated = [&upsert.create, &upsert.update].map(|name| (name, manifest.operations.stated(name)));
    for (name, found) in &stated {
        match found {
            None => {
                let short = name.split_once('.').map_or("", |(_, short)| short);
                reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", short, names);
            }
            Some(write) if write.effects == super::Effects::Read || write.upsert.is_some() => {
                reader.problem(at, "manifest_request", format!("`{name}` is no write"));
            }
            Some(_) => {}
        }
    }
    let takes = |write: &Option<&Operation>, name: &str| {
        write.is_none_or(|write| write.params.iter().any(|param| param.name == name))
    };
    if upsert.find.with.is_empty() && upsert.find.r#where.is_empty() {
        let message = "`find` says nothing of what is looked for: `with` or `where`, from `$args`";
        reader.problem(at, "manifest_missing", message);
    }
    let [(_, create), (_, update)] = &stated;
    let demanded = |write: &Option<&Operation>| {
        let params = write.map(|write| write.params.as_slice()).unwrap_or_default();
        params.iter().filter(|param| param.required).map(|param| param.name.clone()).collect::<Vec<_>>()
    };
    let own = |name: &str| operation.params.iter().any(|param| param.name == name && param.required);
    for name in demanded(create).into_iter().filter(|name| !own(name)) {
        let message = format!("`{}` needs `{name}`, which is not required here", upsert.create);
        reader.problem(at, "manifest_missing", message);
    }
    let from_record = |name: &str| upsert.update_with.iter().any(|(argument, _)| argument == name);
    for name in demanded(update).into_iter().filter(|name| !from_record(name)) {
        let message = format!("`{}` needs `{name}`: `update_with` says where a record has it", upsert.update);
        reader.problem(at, "manifest_missing", message);
    }
    for (name, _) in upsert.update_with.iter().filter(|(name, _)| !takes(update, name)) {
        reader.problem(at, "manifest_unknown", format!("`{}` takes no `{name}`", upsert.update));
    }
    for param in operation.params.iter().filter(|param| param.name != crate::upsert::FIELDS) {
        let field = upsert.is_field(&param.name);
        if field && !(takes(create, &param.name) && takes(update, &param.name)) {
            let message = format!("`{}` is neither looked for nor taken by both writes", param.name);
            reader.problem(at, "manifest_unknown", message);
        }
    }
}

fn check_lookup(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    manifest: &Manifest,
    lookup: &super::Lookup,
    names: &[&str],
) {
    check_read(reader, at, manifest, (&lookup.operation, &lookup.with), names);
    if let Some(other) = &lookup.instead {
        check_read(reader, at, manifest, (&other.operation, &other.with), names);
    }
    let Some(resolve) = &lookup.resolve else { return };
    let short = |name: &str| name.split_once('.').map_or("", |(_, short)| short).to_owned();
    match manifest.operations.stated(&resolve.operation).filter(|list| list.pages.is_some()) {
        None => {
            let message = format!("`{}` is no list of this manifest", short(&resolve.operation));
            reader.problem(at, "manifest_unknown", message);
        }
        Some(list) => {
            let given: Vec<&str> =
                resolve.with.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            check_arguments(reader, at, list, &given);
        }
    }
    let Some(opened) = &resolve.instead else { return };
    let again = |one: &&Operation| matches!(one.idempotency, super::Idempotency::Repeatable);
    match manifest.operations.stated(&opened.operation).filter(again) {
        None => {
            let message = format!("`{}` is nothing that may be repeated", short(&opened.operation));
            reader.problem(at, "manifest_request", message);
        }
        Some(open) => check_arguments(reader, at, open, &[&opened.argument]),
    }
}

/// A read that something is looked up by is there, is a read, and takes what it is given.
fn check_read(
    reader: &mut Reader<'_>,
    at: &At<'_>,
    manifest: &Manifest,
    (full, with): (&str, &[(String, super::Template)]),
    names: &[&str],
) {
    let name = full.split_once('.').map_or("", |(_, short)| short);
    match manifest.operations.stated(full) {
        None => reader.unknown(at.node.place, &at.pointer, "an operation of this manifest", name, names),
        Some(read) if read.effects != super::Effects::Read => {
            reader.problem(
                at,
                "manifest_request",
                format!("`{name}` is no read, so nothing can be looked up by it"),
            );
        }
        Some(read) => {
            let given: Vec<&str> = with.iter().map(|(argument, _)| argument.as_str()).collect();
            check_arguments(reader, at, read, &given);
        }
    }
}

/// What an operation is given is among its parameters.
pub(super) fn check_arguments(reader: &mut Reader<'_>, at: &At<'_>, operation: &Operation, given: &[&str]) {
    let known: Vec<&str> = operation.params.iter().map(|param| param.name.as_str()).collect();
    let short = operation.name.split_once('.').map_or("", |(_, short)| short);
    for argument in given.iter().filter(|argument| !known.contains(argument)) {
        let what = format!("a parameter of `{short}`");
        reader.unknown(at.node.place, &at.pointer, &what, argument, &known);
    }
}
