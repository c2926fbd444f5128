//! Branches and timeouts in a node: calls that are under way at the same time, and what overtakes them.

use flow::clock::Clock;
use flow::journal::{Entry, Outcome};
use serde_json::json;
use store::RunStatus;

use store::{Cut, Cuts};

use crate::flows::document;
use crate::recovery::cases::{Case, case};
use crate::recovery::life;
use crate::vendor::Trouble;
use crate::world::{World, kinds, run};

#[test]
fn branches_call_at_the_same_time_and_wait_for_each_other() {
    let tasks = "  - both:
      fork:
        branches:
        - left: {do: [{l1: {call: acme.charges.create, with: {connection: acme, name: l1}}}, {l2: {call: acme.charges.create, with: {connection: acme, name: l2}}}]}
        - right: {call: acme.notes.create, with: {connection: acme, name: r}}
        - later: {do: [{pause: {wait: PT2S}}, {look: {call: acme.things.get, with: {connection: acme, id: t}}}]}
  - after: {set: {all: '${ [.[] | .name] }'}}
";
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        world.vendor.trouble("POST /notes", [Trouble::Slow(5)]);
        let mut node = world.boot();
        node.deploy(&document("forked", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.fault);
        let journal = node.journal(&done.id);
        let Some(Entry::Finished { outcome: Outcome::Output(output), .. }) = journal.last() else {
            panic!("{journal:?}")
        };
        assert_eq!(*output, json!({"all": ["l2", "r", "T"]}));
        assert_eq!(world.vendor.under_way_max(), 2);
    });
}

#[test]
fn what_a_timeout_overtakes_goes_on_with_its_key_when_it_is_tried_again() {
    let tasks = "  - attempt:
      try:
      - slow: {timeout: {after: PT3S}, call: acme.charges.create, with: {connection: acme, name: slow}}
      catch:
        errors: {with: {status: 408}}
        retry: {delay: PT1S, limit: {attempt: {count: 2}}}
";
    run(async {
        let world = World::new();
        world.vendor.trouble("POST /charges", [Trouble::Slow(60)]);
        let mut node = world.boot();
        node.deploy(&document("overtaken", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.fault);
        let journal = node.journal(&done.id);
        assert_eq!(kinds(&journal), "sieaeirf");
        let seen = world.vendor.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].key, seen[1].key);
        assert!(
            journal
                .iter()
                .any(|entry| matches!(entry, Entry::Attempted { unknown: true, retry_at: None, .. }))
        );
    });
}

#[test]
fn a_run_that_only_waits_is_put_aside_until_the_first_of_its_times() {
    let tasks = "  - race:
      fork:
        compete: true
        branches:
        - long: {wait: PT3H}
        - short: {do: [{w: {wait: PT1H}}, {note: {call: acme.notes.create, with: {connection: acme, name: won}}}]}
";
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("race", "{}", tasks)).await;
        let begun = world.time.now();
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let done = node.the_run();
        assert_eq!(done.status, RunStatus::Completed, "{:?}", done.fault);
        let took = world.time.now().duration_since(begun);
        assert!((3600..3700).contains(&took.as_secs()), "{took}");
        assert_eq!(world.vendor.names("notes"), ["won"]);
    });
}

#[test]
fn the_flow_fails_when_its_time_is_over() {
    let tasks = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}\n";
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        world.vendor.trouble("GET /things/t", [Trouble::Slow(600)]);
        let mut node = world.boot();
        let text = document("bounded", "{}", tasks).replace("\ndo:", "\ntimeout: {after: PT30S}\ndo:");
        node.deploy(&text).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let fault = node.the_run().fault.unwrap();
        assert_eq!(
            (fault.code(), fault.status, fault.instance.as_deref()),
            ("timeout", 408, Some("/timeout"))
        );
    });
}

/// Whenever the node dies, what was overtaken is continued under its key: each write happens once.
#[test]
fn what_was_overtaken_happens_once_wherever_the_node_dies() {
    let tasks = "  - attempt:
      try:
      - slow:
          timeout: {after: PT3S}
          do:
          - first: {call: acme.charges.create, with: {connection: acme, name: first}}
          - second: {call: acme.charges.create, with: {connection: acme, name: second}}
      catch:
        errors: {with: {status: 408}}
        retry: {delay: PT1S, limit: {attempt: {count: 3}}}
";
    let case =
        Case { troubles: vec![("POST /charges".to_owned(), Trouble::Slow(30))], ..case("overtaken", tasks) };
    let undisturbed = run(life::undisturbed(&case));
    assert_eq!(undisturbed.end.vendor["charges"].as_array().map(Vec::len), Some(2));
    for number in undisturbed.commits.0 + 1..=undisturbed.commits.1 {
        for cut in [Cut::Before, Cut::After] {
            run(async {
                let world = life::world(&case);
                let cuts: Cuts = std::sync::Arc::new(move |commit| (commit == number).then_some(cut));
                life::die(&world, &case, Some(cuts)).await;
                let (end, journal) = life::next(&world, &case, None).await.unwrap();
                assert_eq!(end.status, RunStatus::Completed, "commit {number} {cut:?} {}", kinds(&journal));
                assert_eq!(world.vendor.names("charges"), ["first", "second"], "commit {number} {cut:?}");
            });
        }
    }
}
