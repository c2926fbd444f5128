//! A run keeps what it began with: its flow, its settings, and what its connectors were.

use serde_json::json;
use store::RunStatus;

use crate::flows::document;
use crate::world::{World, run};

/// What the vendor was asked to write, without its body.
fn written(world: &World) -> Vec<String> {
    let lines = world.vendor.lines();
    lines.iter().filter(|line| line.starts_with("POST")).map(|line| line.to_string()).collect()
}

#[test]
fn a_waiting_run_goes_on_as_it_began_after_everything_was_replaced() {
    run(async {
        let flow = |name: &str| {
            let tasks = format!(
                "  - rest: {{wait: {{hours: 2}}}}\n  \
                 - act: {{call: acme.charges.create, with: {{connection: acme, name: {name}}}}}\n"
            );
            document("slow", "{}", &tasks)
        };
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&flow("old")).await;
        node.event("evt_1", json!({})).await;
        node.until(|node| node.runs().iter().any(|run| run.status == RunStatus::Parked)).await;
        node.stop().await;

        let manifest = world.manifest.lock().unwrap().replace("POST /charges", "POST /customers");
        *world.manifest.lock().unwrap() = manifest;
        let mut node = world.boot();
        node.deploy_only(&flow("new")).await;
        node.event("evt_2", json!({})).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["old"], "{:?}", written(&world));
        assert_eq!(world.vendor.names("customers"), ["new"], "{:?}", written(&world));
        let revisions: Vec<u32> = node.runs().iter().map(|run| run.revision).collect();
        assert_eq!(revisions, [1, 2]);
    });
}
