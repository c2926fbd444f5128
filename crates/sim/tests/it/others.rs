//! Vendors of which only a manifest is known, in lives under every kind of fault.

use std::sync::Arc;

use connect::{Catalog, Manifest};
use sim::Setting;
use sim::target::{Target, Unfit};

use crate::{every_kind, setting};

const CRM: &str = "\
manifest: 1
slug: crm
title: CRM
version: 1.0.0
summary: Contacts.
base_url: https://api.crm.example
hosts: [api.crm.example]
credentials: {key: {title: Key, help: There}}
auth: {bearer: key}
pagination: {pages: {items: data, more: more, next: {last: id}, send: after}}
errors:
  rules:
    - {status: 429, class: retry}
    - {status: 404, class: not_found}
    - {status: 409, class: conflict}
    - {status: 5xx, class: retry}
    - {status: 4xx, class: user}
operations:
  contacts.retrieve:
    summary: Retrieve a contact
    request: GET /contacts/{contact}
    effects: read
    params:
      contact: {in: path, type: string, required: true, description: Its id}
  contacts.create:
    summary: Create a contact
    request: POST /contacts
    effects: write
    idempotency:
      natural_key: {operation: contacts.retrieve, with: {contact: $args.id}}
    params:
      id: {type: string, required: true, description: An id of our own}
      name: {type: string, description: Its name}
";

const FLOW: &str = "\
document:
  dsl: '1.0.3'
  namespace: test
  name: contacts
  version: '1.0.0'
  metadata:
    concurrency: {key: '${ .data.data.object.id }', mode: latest}
schedule: {on: {one: {with: {type: stripe.customer.created}}}, read: data}
do:
- contact: {call: crm.contacts.create, with: {id: '${ .data.object.id }', name: '${ .data.object.email }'}}
";

fn beside() -> Setting {
    let mut catalog = Catalog::embedded();
    let manifest = Manifest::parse("crm.yaml", CRM).unwrap_or_else(|found| panic!("{found:#?}"));
    catalog.insert(manifest, CRM.to_owned());
    Setting { catalog: Arc::new(catalog), ..setting() }
}

/// The end of a disturbed life is that of an undisturbed one, whatever was lost, doubled or cut off on the way.
#[test]
fn a_connector_of_ones_own_is_verified() {
    let setting = beside();
    let document = Arc::new(flow::Document::parse("contacts.yaml", FLOW).unwrap());
    let target = Target::of(document.clone(), &setting.catalog).unwrap();
    let mut injected = 0;
    for seed in 1..=2 {
        let verdict = sim::verify(&setting, &target, seed, &every_kind(), false).unwrap();
        assert!(verdict.failure.is_none(), "{:#?}", verdict.failure);
        injected += verdict.injected.values().sum::<u64>();
    }
    assert!(injected > 0);
    let unknown = Target::of(document, &Catalog::embedded());
    assert!(matches!(unknown, Err(Unfit::Vendor { operation }) if operation == "crm.contacts.create"));
}
