//! Secrets of connections in calls of plain HTTP.

use serde_json::json;
use store::RunStatus;

use crate::flows::document;
use crate::world::{API_KEY, World, run};

fn flow(secrets: &str, uri: &str) -> String {
    let task = format!(
        "  - act: {{call: http, with: {{method: post, endpoint: {{uri: '{uri}', authentication: {{bearer: {{token: '${{ $secrets.acme.api_key }}'}}}}}}, body: {{name: a}}}}}}\n"
    );
    document("plain", "{}", &task).replace("do:", &format!("use: {{secrets: {secrets}}}\ndo:"))
}

#[test]
fn a_secret_reaches_its_vendor_and_nothing_else() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&flow("[acme]", "http://127.0.0.1:1/charges")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.fault);
        assert_eq!(world.vendor.names("charges"), ["a"], "the vendor asks who calls");
        let journal = serde_json::to_string(&node.journal(&done.id)).unwrap();
        assert!(journal.contains("charges") && !journal.contains(API_KEY), "{journal}");
    });
}

#[test]
fn a_secret_goes_nowhere_else() {
    run(async {
        let mut world = World::new();
        world.config.egress = connect::plain::Egress::new(["127.0.0.1:2".to_owned()]).unwrap();
        let mut node = world.boot();
        node.deploy(&flow("[acme]", "http://127.0.0.1:2/charges")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        let fault = done.fault.unwrap();
        assert!(fault.r#type.ends_with("host_refused") && fault.detail.contains("acme"), "{fault:?}");
        assert!(!format!("{fault:?}").contains(API_KEY) && world.vendor.past().is_empty());
    });
}
