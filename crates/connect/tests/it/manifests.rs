//! The manifests that are part of the program: they are sound, and their own tests pass.

use connect::{Catalog, Effects, Idempotency, Manifest};

fn catalog() -> Catalog {
    Catalog::embedded()
}

/// They are read lazily, so that nobody else would notice.
#[test]
fn every_manifest_is_sound_and_named_as_its_file() {
    let catalog = catalog();
    let mut problems = Vec::new();
    for source in catalog.sources() {
        match Manifest::parse(source.file, source.text) {
            Ok(manifest) => {
                assert_eq!((manifest.slug.as_str(), manifest.digest()), (source.slug, source.digest));
                problems.extend(manifest.listed_problems());
            }
            Err(found) => problems.extend(found),
        }
    }
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[test]
fn every_manifest_passes_its_own_tests() {
    let catalog = catalog();
    let mut failures = Vec::new();
    for manifest in catalog.manifests() {
        for failure in connect::selftest(manifest) {
            failures.push(format!("{}: {}: {}", manifest.slug, failure.case, failure.detail));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_check_is_a_read_without_arguments() {
    for manifest in catalog().manifests() {
        let check = manifest.check().and_then(|name| manifest.operation(name));
        let check = check.unwrap_or_else(|| panic!("{} has no check", manifest.slug));
        assert_eq!(check.effects, Effects::Read, "{}", check.name);
        assert!(check.params.iter().all(|param| !param.required), "{}", check.name);
    }
}

/// The table that says what can be done twice without harm; a new write has to be put in it on purpose.
#[test]
fn few_writes_cannot_be_repeated_safely() {
    let catalog = catalog();
    let unsafe_writes: Vec<&str> = catalog
        .manifests()
        .flat_map(|manifest| manifest.operations())
        .filter(|operation| matches!(operation.idempotency, Idempotency::None))
        .map(|operation| operation.name.as_str())
        .collect();
    // Merges are told from mistakes by nothing; the others have no id of the caller's own.
    assert_eq!(
        unsafe_writes,
        [
            "chartmogul.contacts.merge",
            "chartmogul.customer_notes.create",
            "chartmogul.customers.merge",
            "chartmogul.customers.unmerge",
            "chartmogul.opportunities.create",
            "chartmogul.tasks.create",
            // Files carry no key.
            "slack.files.upload",
            // What one person alone sees cannot be looked for.
            "slack.messages.ephemeral",
        ]
    );
}

#[test]
fn operations_are_found_by_full_name_with_or_without_a_version() {
    let catalog = catalog();
    for name in
        ["stripe.customers.retrieve", "stripe.customers.retrieve:1", "stripe.customers.retrieve:1@default"]
    {
        assert!(catalog.operation(name).is_some(), "{name}");
    }
    for name in ["stripe", "stripe.customers", "customers.retrieve", "", "nobody.customers.retrieve"] {
        assert!(catalog.operation(name).is_none(), "{name}");
    }
    assert_eq!(catalog.slugs().collect::<Vec<_>>(), ["chartmogul", "slack", "stripe"]);
}

#[test]
fn arguments_are_described_as_json_schema() {
    let catalog = catalog();
    let (_, operation) = catalog.operation("stripe.subscriptions.create").expect("the operation");
    let schema = operation.input_schema();
    assert_eq!(schema["properties"]["cancel_at"]["type"], serde_json::json!(["integer", "string"]));
    assert_eq!(schema["additionalProperties"], false);
    let (_, operation) = catalog.operation("chartmogul.plans.create").expect("the operation");
    let schema = operation.input_schema();
    assert_eq!(schema["properties"]["interval_unit"]["enum"], serde_json::json!(["day", "month", "year"]));
    assert_eq!(schema["required"].as_array().map(Vec::len), Some(5));
}
