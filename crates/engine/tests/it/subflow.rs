//! Runs that start runs, and events that lead to each other.

use std::sync::Arc;

use serde_json::{Value, json};
use store::{Cut, Cuts, RunStatus};

use crate::flows::document;
use crate::world::{Node, World, cut_at_each, run};

const PARENT: &str = "  - ask: {run: {workflow: {namespace: tests, name: child, version: '1.0.0', input: {name: '${ $event.data.name }'}}}}
  - last: {call: acme.notes.create, with: {connection: acme, name: '${ \"after \" + .id }'}}
";
const CHILD: &str = "document: {dsl: '1.0.3', namespace: tests, name: child, version: '1.0.0'}
do:
- rest: {wait: PT1M}
- write: {call: acme.charges.create, with: {connection: acme, name: '${ $workflow.input.name }'}}
";

async fn deploy(node: &mut Node<'_>, parent: &str) {
    node.deploy(&document("parent", "{}", parent)).await;
    node.deploy_only(CHILD).await;
    node.settle().await;
}

fn of<'r>(runs: &'r [store::Run], flow: &str) -> Vec<&'r store::Run> {
    runs.iter().filter(|run| run.flow == flow).collect()
}

/// What is there in the end: the vendor's records and what the parent gave.
fn end(node: &Node<'_>) -> (Value, Value) {
    let runs = node.runs();
    let (parents, children) = (of(&runs, "parent"), of(&runs, "child"));
    assert_eq!((parents.len(), children.len()), (1, 1), "{runs:?}");
    assert_eq!(node.left_of_waits(&parents[0].id), (0, 0));
    (node.world.vendor.world(), node.output(&parents[0].id))
}

#[test]
fn a_run_waits_for_the_run_that_it_starts_wherever_it_is_cut_off() {
    let (commits, expected) = run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy(&mut node, PARENT).await;
        let before = node.commits();
        node.event("evt_1", json!({"name": "thing"})).await;
        node.quiet().await;
        (before + 1..=node.commits(), end(&node))
    });
    assert_eq!(expected.0["charges"].as_array().map(Vec::len), Some(1));
    let deploy = async |node: &mut Node<'_>| deploy(node, PARENT).await;
    cut_at_each(commits, &json!({"name": "thing"}), deploy, |node, cut| {
        assert_eq!(end(node), expected, "{cut}");
    });
}

#[test]
fn a_failed_or_cancelled_run_is_the_fault_of_the_one_that_waits() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let parent = "  - ask:
      try: [{start: {run: {workflow: {namespace: tests, name: child, version: latest}}}}]
      catch: {as: why, do: [{keep: {set: {status: '${ $why.status }', detail: '${ $why.detail }'}}}]}
";
        node.deploy(&document("parent", "{}", parent)).await;
        let failing = CHILD.replace(
            "write: {call",
            "write: {if: true, raise: {error: {type: https://x.test/no, status: 418}}}\n- never: {call",
        );
        node.deploy_only(&failing).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let first = of(&node.runs(), "parent")[0].id.clone();
        assert_eq!(node.output(&first)["status"], 418);
        node.event("evt_2", json!({})).await;
        node.settle().await;
        let child = node.runs().into_iter().rfind(|run| run.flow == "child").unwrap();
        assert_eq!(child.status, RunStatus::Parked);
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
        node.drive(store.cancel_run(&crate::world::default_workspace(), &child.id, now)).await.unwrap();
        node.wake();
        node.quiet().await;
        let second = node.runs().into_iter().rfind(|run| run.flow == "parent").unwrap().id;
        assert_eq!(node.output(&second), json!({"status": 500, "detail": "the run was cancelled"}));
    });
}

/// Wherever the node dies that is asked to, everything below a cancelled run is cancelled; and nothing else.
#[test]
fn cancelling_a_run_cancels_the_runs_that_it_awaits() {
    const MIDDLE: &str = "document: {dsl: '1.0.3', namespace: tests, name: middle, version: '1.0.0'}
do:
- both:
    fork:
      branches:
      - one: {run: {workflow: {namespace: tests, name: child, version: latest, input: {name: one}}}}
      - alone: {run: {await: false, workflow: {namespace: tests, name: child, version: latest, input: {name: alone}}}}
";
    let parent = PARENT.replace("name: child", "name: middle");
    async fn cancel(node: &mut Node<'_>, parent: &str) {
        node.deploy(&document("parent", "{}", parent)).await;
        node.deploy_only(MIDDLE).await;
        node.deploy_only(CHILD).await;
        node.event("evt_1", json!({"name": "thing"})).await;
        node.settle().await;
        let parent = of(&node.runs(), "parent")[0].id.clone();
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*node.world.time));
        node.drive(store.cancel_run(&crate::world::default_workspace(), &parent, now)).await.ok();
    }
    let commits = run(async {
        let world = World::new();
        let mut node = world.boot();
        cancel(&mut node, &parent).await;
        node.commits()
    });
    for number in commits - 4..=commits {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = World::new();
                let cuts: Cuts = Arc::new(move |commit| (commit == number).then_some(cut));
                let mut node = world.boot_cut(Some(cuts));
                cancel(&mut node, &parent).await;
                assert!(node.is_dead());
                node.kill().await;
                let mut node = world.boot();
                node.quiet().await;
                let runs = node.runs();
                let cancelled = of(&runs, "parent")[0].status == RunStatus::Cancelled;
                let (all, charges) =
                    if cancelled { (RunStatus::Cancelled, 1) } else { (RunStatus::Completed, 2) };
                assert_eq!(of(&runs, "middle")[0].status, all, "commit {number} {cut:?}");
                let mut children: Vec<_> = of(&runs, "child").iter().map(|run| run.status).collect();
                children.sort_unstable();
                let mut expected = [all, RunStatus::Completed];
                expected.sort_unstable();
                assert_eq!(children, expected, "commit {number} {cut:?}");
                assert_eq!(world.vendor.names("charges").len(), charges);
                assert!(runs.iter().all(|run| node.left_of_waits(&run.id) == (0, 0)));
            });
        }
    }
}

/// An event that is replayed waits for the same run: who waits on keeps it.
#[test]
fn a_run_that_another_one_awaits_goes_on() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        deploy(&mut node, PARENT).await;
        let event = node.event("evt_1", json!({"name": "thing"})).await;
        node.settle().await;
        node.replay(&event).await;
        node.settle().await;
        let runs = node.runs();
        assert_eq!((of(&runs, "parent").len(), of(&runs, "child").len()), (2, 1));
        let first = of(&runs, "parent")[0].id.clone();
        let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
        node.drive(store.cancel_run(&crate::world::default_workspace(), &first, now)).await.unwrap();
        node.quiet().await;
        let runs = node.runs();
        assert_eq!(of(&runs, "child")[0].status, RunStatus::Completed);
        let mut parents: Vec<_> = of(&runs, "parent").iter().map(|run| run.status).collect();
        parents.sort_unstable();
        assert_eq!(parents, [RunStatus::Completed, RunStatus::Cancelled]);
    });
}

#[test]
fn a_run_goes_on_at_once_if_it_does_not_ask_for_the_end() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let parent =
            PARENT.replace("{run: {workflow", "{run: {await: false, workflow").replace(".id }", ".run[:4] }");
        deploy(&mut node, &parent).await;
        node.event("evt_1", json!({"name": "thing"})).await;
        node.settle().await;
        let runs = node.runs();
        assert_eq!(of(&runs, "parent")[0].status, RunStatus::Completed);
        assert_eq!(of(&runs, "child")[0].status, RunStatus::Parked);
        node.quiet().await;
        assert_eq!(world.vendor.world()["notes"][0]["name"], "after run_");
    });
}

#[test]
fn what_is_not_deployed_is_a_fault_of_configuration() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        for (name, workflow) in [
            ("no-flow", "{namespace: tests, name: nobody, version: latest}"),
            ("no-version", "{namespace: tests, name: child, version: '2.0.0'}"),
            ("no-namespace", "{namespace: other, name: child, version: latest}"),
        ] {
            node.deploy(&document(name, "{}", &format!("  - ask: {{run: {{workflow: {workflow}}}}}\n")))
                .await;
        }
        node.deploy_only(CHILD).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let runs = node.runs();
        assert_eq!(runs.len(), 3);
        for run in runs {
            assert_eq!(
                run.fault.map(|fault| fault.code().to_owned()).as_deref(),
                Some("configuration"),
                "{}",
                run.flow
            );
        }
    });
}

#[test]
fn flows_that_lead_to_themselves_come_to_an_end() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(
            "document: {dsl: '1.0.3', namespace: tests, name: echo, version: '1.0.0'}
schedule: {on: {any: [{with: {type: acme.thing.changed}}, {with: {type: echo}}]}}
do: [{again: {emit: {event: {with: {source: 'https://tests.example', type: echo}}}}}]
",
        )
        .await;
        node.deploy_only(
            "document: {dsl: '1.0.3', namespace: tests, name: recursive, version: '1.0.0'}
schedule: {on: {one: {with: {type: acme.thing.changed}}}}
do: [{again: {run: {workflow: {namespace: tests, name: recursive, version: latest}}}}]
",
        )
        .await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let stats = crate::world::read(node.store.stats(None)).unwrap();
        // Each echo but the last completes; the last recursion fails, and with it all that wait for it.
        assert_eq!((stats.runs_completed, stats.runs_failed), (64, 1 + 65));
        for run in node.runs().iter().filter(|run| run.status == RunStatus::Failed) {
            assert_eq!(run.fault.as_ref().map(flow::Fault::code), Some("run_limit"), "{}", run.flow);
        }
    });
}
