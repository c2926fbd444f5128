//! Runs that go well, runs that fail, and what is seen of them.

use engine::alert::About;
use flow::journal::{Entry, Outcome};
use serde_json::{Value, json};
use store::{EventOutcome, RunStatus};

use crate::flows::{document, every_way, one};
use crate::vendor::Trouble;
use crate::world::{API_KEY, World, kinds, run};

#[test]
fn an_event_becomes_a_run_and_its_effects() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        assert_eq!((done.status, done.fault), (RunStatus::Completed, None));
        assert_eq!(node.outcomes(&event), [EventOutcome::Run(done.id.clone())]);
        assert_eq!(world.vendor.names("charges"), ["charge T"]);
        assert_eq!(world.vendor.names("customers"), ["customer evt_1"]);
        assert_eq!(world.vendor.names("notes"), ["note customers-1"]);
        let journal = node.journal(&done.id);
        assert_eq!(kinds(&journal), "sririrririrf");
        let Entry::Started { input, version, .. } = &journal[0] else { panic!("{:?}", journal[0]) };
        assert_eq!(
            (&input["id"], &input["source"], version.as_str()),
            (&json!("evt_1"), &json!("acme"), "1.0.0")
        );
        assert!(world.told.0.lock().unwrap().is_empty());
    });
}

#[test]
fn a_run_without_writes_costs_dispatch_claim_and_one_commit() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        let tasks = "  - a: {call: acme.things.get, with: {connection: acme, id: t}}\n  \
                     - b: {call: acme.things.get, with: {connection: acme, id: t}}\n";
        node.deploy(&document("reader", "{}", tasks)).await;
        node.settle().await;
        let before = node.commits();
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(world.vendor.lines().len(), 2);
        // The event's own commit, then these three.
        assert_eq!(node.commits() - before, 1 + 3);
    });
}

#[test]
fn credentials_are_nowhere_but_in_the_header() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        world.vendor.trouble("POST /charges", [Trouble::AnswerLost, Trouble::Status(503, None)]);
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        let journal = serde_json::to_string(&node.journal(&run.id)).unwrap();
        assert!(journal.contains("charge T") && !journal.contains(API_KEY));
        let seen = world.vendor.seen();
        assert!(seen.iter().all(|seen| seen.authorization == format!("Bearer {API_KEY}")));
    });
}

#[test]
fn a_failure_shows_on_the_run_and_is_told() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Status(422, None)]);
        node.deploy(&one("acme.charges.create")).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        let fault = run.fault.clone().unwrap();
        assert_eq!((run.status, fault.code(), fault.status), (RunStatus::Failed, "communication", 422));
        assert_eq!(fault.instance.as_deref(), Some("/do/0/act"));
        assert_eq!(fault.data.as_ref().unwrap()["code"], "trouble");
        assert_eq!(node.outcomes(&event), [EventOutcome::Failed(run.id.clone())]);
        let journal = node.journal(&run.id);
        assert_eq!(kinds(&journal), "siarf");
        let Entry::Resolved { attempts, outcome: Outcome::Fault(seen), input, .. } = &journal[3] else {
            panic!("{:?}", journal[3])
        };
        assert_eq!((*attempts, seen, &input["name"]), (1, &fault, &json!("a")));
        let told = world.told.0.lock().unwrap().clone();
        assert_eq!(told.len(), 1);
        let About::Run { run: told, event, .. } = &told[0].about else { panic!("{told:?}") };
        assert_eq!((told.as_str(), event.as_deref()), (run.id.as_str(), Some("evt_1")));
    });
}

#[test]
fn a_defect_of_ours_fails_its_run_and_no_other() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Panic]);
        node.deploy(&one("acme.charges.create")).await;
        node.event("evt_1", json!({})).await;
        node.event("evt_2", json!({})).await;
        node.quiet().await;
        let runs = node.runs();
        assert_eq!(
            runs.iter().map(|run| run.status).collect::<Vec<_>>(),
            [RunStatus::Failed, RunStatus::Completed]
        );
        // Whether it was sent is unknown: another go sends the same.
        node.retry(&runs[0].id).await;
        node.quiet().await;
        assert_eq!(node.runs()[0].status, RunStatus::Completed);
        let seen = world.vendor.seen();
        assert_eq!((seen.len(), &seen[0]), (3, &seen[2]));
    });
}

#[test]
fn wrong_calls_are_faults_that_name_what_is_wrong() {
    let table = [
        ("acme.nothing.at_all, with: {connection: acme}", "operation_unknown", "acme.nothing.at_all"),
        ("acme.things.get, with: {connection: acme}", "argument_missing", "`id`"),
        ("acme.things.get, with: {connection: elsewhere, id: t}", "connection_missing", "`elsewhere`"),
        ("acme.things.get, with: {connection: live, id: t}", "mode_mismatch", "`live` of live mode"),
        ("acme.things.get, with: {connection: acme, id: none}", "communication", "no such thing"),
        ("revenue.mirror.plan, with: {billing: 1}", "revenue_input", "billing"),
    ];
    for (call, code, detail) in table {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            node.connect("live", true).await;
            node.deploy(&document("wrong", "{}", &format!("  - act: {{call: {call}}}\n"))).await;
            node.event("evt_1", json!({})).await;
            node.quiet().await;
            let fault = node.the_run().fault.unwrap();
            assert_eq!(fault.code(), code, "{call}: {fault}");
            assert!(fault.detail.contains(detail), "{call}: {fault}");
        });
    }
}

#[test]
fn a_run_keeps_the_revision_it_began_with() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        let tasks = |name: &str| {
            format!(
                "  - look: {{call: acme.things.get, with: {{connection: acme, id: t}}}}\n  \
                 - act: {{call: acme.charges.create, with: {{connection: acme, name: {name}}}}}\n"
            )
        };
        world.vendor.trouble("GET /things/t", [Trouble::Slow(20)]);
        node.deploy(&document("kept", "{}", &tasks("old"))).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        node.deploy_only(&document("kept", "{}", &tasks("new"))).await;
        node.event("evt_2", json!({})).await;
        node.quiet().await;
        let mut names = world.vendor.names("charges");
        names.sort();
        assert_eq!(names, ["new", "old"]);
    });
}

#[test]
fn a_run_without_an_event_has_its_input() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - act: {call: acme.charges.create, with: {connection: acme, name: '${ $workflow.input.name }'}}\n";
        node.deploy(&document("manual", "{}", tasks)).await;
        node.start("manual", json!({"name": "by hand"})).await;
        node.start("manual", json!({"name": "by hand"})).await;
        node.quiet().await;
        // Two runs, two effects: each run is its own trigger.
        assert_eq!(world.vendor.names("charges"), ["by hand", "by hand"]);
    });
}

#[test]
fn a_replayed_event_repeats_no_effect() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        node.deploy(&every_way()).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        let before = (world.vendor.world(), world.vendor.seen());
        node.replay(&event).await;
        node.quiet().await;
        assert_eq!(node.runs().iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Completed; 2]);
        let keys = |seen: &[crate::vendor::Seen]| {
            seen.iter().filter_map(|seen| seen.key.clone()).collect::<Vec<_>>()
        };
        let after = world.vendor.seen();
        assert!(!keys(&before.1).is_empty());
        // What the first run found out answers the second: only reads are sent.
        assert_eq!(keys(&after[before.1.len()..]), Vec::<String>::new());
        assert_eq!(world.vendor.world(), before.0);
    });
}

#[test]
fn a_loop_writes_in_order_each_under_its_own_key() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - all:
      for: {each: name, in: '${ $event.data.names }'}
      do:
        - act: {call: acme.charges.create, with: {connection: acme, name: '${ $name }'}}
";
        node.deploy(&document("loop", "{}", tasks)).await;
        let names: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
        node.event("evt_1", json!({"names": names})).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), names);
        assert_eq!(world.vendor.under_way_max(), 1);
    });
}

#[test]
fn a_long_wait_gives_the_worker_free_and_goes_on_in_time() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - pause: {wait: {hours: 3}}
  - act: {call: acme.charges.create, with: {connection: acme, name: a}}
";
        node.deploy(&document("waiter", "{}", tasks)).await;
        let begun = flow::clock::Clock::now(&*world.time);
        node.event("evt_1", json!({})).await;
        node.settle().await;
        assert_eq!(node.the_run().status, RunStatus::Parked);
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.status, RunStatus::Completed);
        let waited = run.finished_at.unwrap().duration_since(begun).as_secs();
        assert!((3 * 3600..3 * 3600 + 30).contains(&waited), "{waited}");
        assert_eq!(kinds(&node.journal(&run.id)), "seirf");
    });
}

#[test]
fn a_caught_fault_is_data_for_the_flow() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        let tasks = "  - guarded:
      try:
        - look: {call: acme.things.get, with: {connection: acme, id: none}}
      catch:
        errors: {with: {status: 404}}
        as: problem
        do:
          - act: {call: acme.charges.create, with: {connection: acme, name: '${ $problem.data.class }'}}
";
        node.deploy(&document("catcher", "{}", tasks)).await;
        node.event("evt_1", Value::Null).await;
        node.quiet().await;
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(world.vendor.names("charges"), ["not_found"]);
    });
}
