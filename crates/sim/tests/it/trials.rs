//! Tests beside flows that gather the events that start them.

use std::sync::Arc;

use flow::Document;
use sim::trial::judge::Judge;
use sim::trial::suite::Suite;

const FLOW: &str = r#"
document:
  dsl: '1.0.3'
  namespace: t
  name: digest
  version: '1.0.0'
  metadata: {batch: {within: PT5M, most: 3, by: '${ .data.of }'}}
schedule: {read: data, on: {one: {with: {source: stripe, type: stripe.invoice.paid}}}}
do:
  - pause: {wait: PT1M}
  - give: {set: {all: '${ $workflow.input | map(.n) }', ids: '${ $event | map(.id) }'}}
"#;

/// What is different from what a test expects, as text.
fn judged(flow: &str, test: &str) -> String {
    let document = Arc::new(Document::parse("t.yaml", flow).unwrap());
    let catalog = Arc::new(connect::Catalog::embedded());
    let judge = Judge { catalog, document, scripts: Arc::new(engine::NoScripts) };
    let suite = Suite::parse("t.test.yaml", &format!("tests:\n- name: t\n{test}")).unwrap();
    let verdicts = judge.all(&suite).unwrap();
    format!("{:?}", verdicts[0].differences)
}

fn event(n: u32, of: &str) -> String {
    format!("{{source: stripe, type: stripe.invoice.paid, data: {{n: {n}, of: {of}}}}}")
}

#[test]
fn events_that_would_not_be_gathered_together_are_refused() {
    let many = vec![event(1, "a"); 4].join(", ");
    for (flow, events, why) in [
        (FLOW.to_owned(), many.clone(), "more than the 3 of `batch.most`"),
        (FLOW.to_owned(), format!("{}, {}", event(1, "a"), event(1, "b")), "different keys"),
        (FLOW.replace("metadata: {batch", "metadata: {other"), event(1, "a"), "does not gather events"),
        (FLOW.to_owned(), event(1, "a").replace("paid", "voided"), "does not begin with this event"),
    ] {
        let told = judged(&flow, &format!("  events: [{events}]\n  expect: {{output: {{}}}}\n"));
        assert!(told.contains(why), "{why}: {told}");
    }
    for (begins, code) in [
        ("events: []", "wrong_type"),
        ("events: {source: s, type: t}", "wrong_type"),
        ("events: [{source: s}]", "missing_field"),
        ("events: [{source: s, type: t}]\n  input: 1", "ambiguous_task"),
    ] {
        let found = Suite::parse("t.test.yaml", &format!("tests:\n- name: t\n  {begins}\n")).unwrap_err();
        assert!(found.iter().any(|problem| problem.code == code), "{begins}: {found:?}");
    }
}
