//! Attempts that fail, surely or not, and what is sent after them.

use flow::journal::Entry;
use jiff::SignedDuration;
use serde_json::json;
use store::RunStatus;

use crate::flows::{document, one};
use crate::vendor::Trouble;
use crate::world::{World, kinds, run};

/// What is left of one effect, after something went wrong with its first request.
#[derive(Debug, PartialEq)]
struct Left {
    records: usize,
    /// `POST`s and `PUT`s that came.
    writes: usize,
    fault: Option<String>,
}

/// Sends one write, whose first request meets `trouble`; a caller that hangs is killed and comes up again.
async fn after(operation: &str, line: &str, trouble: Trouble) -> Left {
    let world = World::new();
    let mut node = world.boot();
    world.vendor.trouble(line, [trouble.clone()]);
    node.deploy(&one(operation)).await;
    node.event("evt_1", json!({})).await;
    node.quiet().await;
    if world.vendor.hung() {
        node.kill().await;
        node = world.boot();
        node.quiet().await;
    }
    let run = node.the_run();
    let writes: Vec<_> = world.vendor.seen().into_iter().filter(|seen| seen.line == line).collect();
    // Whatever is sent again is the same, byte for byte and under the same key.
    assert!(writes.windows(2).all(|two| two[0] == two[1]), "{writes:?}");
    let records =
        world.vendor.world().as_object().unwrap().values().map(|kind| kind.as_array().unwrap().len()).sum();
    Left { records, writes: writes.len(), fault: run.fault.map(|fault| fault.code().to_owned()) }
}

#[test]
fn an_unknown_outcome_is_settled_as_the_manifest_says() {
    let header = ("acme.charges.create", "POST /charges");
    let natural = ("acme.customers.create", "POST /customers");
    let lookup = ("acme.notes.create", "POST /notes");
    let repeatable = ("acme.states.set", "PUT /states/a");
    let none = ("acme.pings.send", "POST /pings");
    let destructive = ("acme.refunds.create", "POST /refunds");
    // Trouble with the first request → records, writes sent, the code of the fault.
    let table = [
        (header, Trouble::AnswerLost, 1, 2, None),
        (header, Trouble::RequestLost, 1, 2, None),
        (header, Trouble::Broken, 1, 2, None),
        (header, Trouble::NotReached, 1, 2, None),
        (header, Trouble::Status(429, Some(2)), 1, 2, None),
        (header, Trouble::Hang, 1, 2, None),
        (header, Trouble::HangBefore, 1, 2, None),
        (natural, Trouble::AnswerLost, 1, 1, None),
        (natural, Trouble::RequestLost, 1, 2, None),
        (natural, Trouble::Broken, 1, 1, None),
        (natural, Trouble::Hang, 1, 1, None),
        (natural, Trouble::HangBefore, 1, 2, None),
        (lookup, Trouble::AnswerLost, 1, 1, None),
        (lookup, Trouble::RequestLost, 1, 2, None),
        (lookup, Trouble::Broken, 1, 1, None),
        (lookup, Trouble::NotReached, 1, 2, None),
        (lookup, Trouble::Hang, 1, 1, None),
        (lookup, Trouble::HangBefore, 1, 2, None),
        (repeatable, Trouble::AnswerLost, 1, 2, None),
        (repeatable, Trouble::Hang, 1, 2, None),
        (repeatable, Trouble::HangBefore, 1, 2, None),
        (none, Trouble::AnswerLost, 2, 2, None),
        (none, Trouble::Hang, 2, 2, None),
        (none, Trouble::HangBefore, 1, 2, None),
        (none, Trouble::NotReached, 1, 2, None),
        (destructive, Trouble::AnswerLost, 1, 1, Some("outcome_unknown")),
        (destructive, Trouble::RequestLost, 0, 1, Some("outcome_unknown")),
        (destructive, Trouble::Hang, 1, 1, Some("outcome_unknown")),
        (destructive, Trouble::HangBefore, 0, 1, Some("outcome_unknown")),
        (destructive, Trouble::NotReached, 1, 2, None),
        (destructive, Trouble::Status(503, None), 0, 1, Some("outcome_unknown")),
    ];
    for ((operation, line), trouble, records, writes, fault) in table {
        let left = run(after(operation, line, trouble.clone()));
        let expected = Left { records, writes, fault: fault.map(str::to_owned) };
        assert_eq!(left, expected, "{operation}, {trouble:?}");
    }
}

#[test]
fn a_lookup_that_fails_is_tried_again_before_anything_is_sent() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /notes", [Trouble::AnswerLost]);
        world.vendor.trouble("GET /records", [Trouble::Status(503, None), Trouble::NotReached]);
        node.deploy(&one("acme.notes.create")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(world.vendor.lines(), ["POST /notes", "GET /records", "GET /records", "GET /records"]);
        assert_eq!(world.vendor.names("notes"), ["a"]);
    });
}

#[test]
fn past_the_life_of_its_key_a_person_is_asked_and_may_say_again() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::HangBefore]);
        node.deploy(&one("acme.charges.create")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        node.kill().await;
        world.time.advance(SignedDuration::from_hours(24));
        let mut node = world.boot();
        node.quiet().await;
        let run = node.the_run();
        assert_eq!(run.fault.as_ref().map(|fault| fault.code()), Some("outcome_unknown"));
        assert_eq!(world.vendor.lines().len(), 1);
        node.retry(&run.id).await;
        node.quiet().await;
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(world.vendor.names("charges"), ["a"]);
        let keys: Vec<_> = world.vendor.seen().into_iter().map(|seen| seen.key.unwrap()).collect();
        assert_ne!(keys[0], keys[1]);
    });
}

#[test]
fn a_short_retry_after_is_waited_out_in_place_a_long_one_parks_the_run() {
    for (after, parks) in [(2, false), (120, true)] {
        run(async {
            let world = World::new();
            let mut node = world.boot();
            world.vendor.trouble("POST /charges", [Trouble::Status(429, Some(after))]);
            node.deploy(&one("acme.charges.create")).await;
            node.event("evt_1", json!({})).await;
            node.settle().await;
            assert_eq!(node.the_run().status, if parks { RunStatus::Parked } else { RunStatus::Running });
            node.quiet().await;
            let run = node.the_run();
            assert_eq!(run.status, RunStatus::Completed);
            assert_eq!(run.epoch, if parks { 2 } else { 1 });
            let journal = node.journal(&run.id);
            assert_eq!(kinds(&journal), "siairf");
            let [
                Entry::Intent { at: first, .. },
                Entry::Attempted { retry_at, unknown, .. },
                Entry::Intent { at: second, .. },
            ] = &journal[1..4]
            else {
                panic!("{journal:?}")
            };
            assert!(!unknown && *second >= retry_at.unwrap());
            let waited = second.duration_since(*first);
            assert!(waited >= SignedDuration::from_secs(after.into()), "{waited}");
            assert_eq!(world.vendor.names("charges"), ["a"]);
            let Entry::Resolved { attempts, .. } = &journal[4] else { panic!("{journal:?}") };
            assert_eq!(*attempts, 2);
        });
    }
}

#[test]
fn attempts_come_to_an_end() {
    run(async {
        let mut world = World::new();
        world.config.retry.attempts_max = 5;
        let mut node = world.boot();
        world.vendor.trouble("GET /things/t", vec![Trouble::Status(503, None); 50]);
        node.deploy(&document(
            "r",
            "{}",
            "  - look: {call: acme.things.get, with: {connection: acme, id: t}}\n",
        ))
        .await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let run = node.the_run();
        let fault = run.fault.unwrap();
        assert_eq!(fault.status, 503);
        assert!(fault.detail.ends_with("(gave up after 5 attempts)"), "{fault}");
        assert_eq!(world.vendor.lines().len(), 5);
        let attempts =
            node.journal(&run.id).iter().filter(|entry| matches!(entry, Entry::Attempted { .. })).count();
        assert_eq!(attempts, 5);
    });
}

#[test]
fn a_retry_by_hand_goes_on_after_the_last_success() {
    run(async {
        let world = World::new();
        world.vendor.put_thing("t", json!({"name": "T"}));
        let mut node = world.boot();
        world.vendor.trouble("POST /customers", [Trouble::Status(422, None), Trouble::Status(422, None)]);
        node.deploy(&crate::flows::every_way()).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        for _ in 0..2 {
            let failed = node.the_run();
            assert_eq!(failed.status, RunStatus::Failed);
            node.retry(&failed.id).await;
            node.quiet().await;
        }
        let run = node.the_run();
        assert_eq!((run.status, run.retries), (RunStatus::Completed, 2));
        assert_eq!(world.vendor.names("charges"), ["charge T"]);
        // Nothing that had succeeded was sent again.
        let lines = world.vendor.lines();
        let count = |line: &str| lines.iter().filter(|seen| *seen == line).count();
        assert_eq!((count("POST /charges"), count("POST /customers"), count("GET /things/t")), (1, 3, 2));
        let keys: std::collections::BTreeSet<String> = node
            .journal(&run.id)
            .iter()
            .filter_map(|entry| match entry {
                Entry::Intent { key, operation, .. } if operation == "acme.customers.create" => {
                    Some(key.clone())
                }
                _ => None,
            })
            .collect();
        assert_eq!(keys.len(), 3, "each definite failure is followed by another generation");
        assert_eq!(node.outcomes(&event), [store::EventOutcome::Run(run.id)]);
    });
}

#[test]
fn a_retry_by_hand_of_an_unknown_outcome_keeps_key_and_bytes() {
    run(async {
        let mut world = World::new();
        world.config.retry.attempts_max = 2;
        let mut node = world.boot();
        world
            .vendor
            .trouble("POST /charges", [Trouble::AnswerLost, Trouble::NotReached, Trouble::NotReached]);
        node.deploy(&one("acme.charges.create")).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let failed = node.the_run();
        assert_eq!(failed.status, RunStatus::Failed);
        node.retry(&failed.id).await;
        node.quiet().await;
        // The second go has one more attempt that is not reached, and fails; a third one ends it.
        if node.the_run().status == RunStatus::Failed {
            node.retry(&failed.id).await;
            node.quiet().await;
        }
        assert_eq!(node.the_run().status, RunStatus::Completed);
        assert_eq!(world.vendor.names("charges"), ["a"]);
        let seen = world.vendor.seen();
        assert!(seen.len() >= 4 && seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
    });
}

#[test]
fn a_flows_own_retry_of_an_unknown_outcome_keeps_key_and_bytes() {
    run(async {
        let mut world = World::new();
        world.config.retry.attempts_max = 1;
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::AnswerLost]);
        let tasks = "  - guarded:
      try:
        - act: {call: acme.charges.create, with: {connection: acme, name: a}}
      catch:
        errors: {with: {status: 503}}
        retry: {delay: {seconds: 1}, limit: {attempt: {count: 3}}}
";
        node.deploy(&document("own-retry", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!((node.the_run().status, node.the_run().fault), (RunStatus::Completed, None));
        assert_eq!(world.vendor.names("charges"), ["a"]);
        let seen = world.vendor.seen();
        assert!(seen.len() == 2 && seen[0] == seen[1], "{seen:?}");
    });
}

/// Whom the vendor tells not to come tells it to all: nobody else asks before that, and nobody waits for it in place.
#[test]
fn a_pause_that_the_vendor_wants_is_kept_by_all() {
    run(async {
        let mut world = World::new();
        world.in_earnest = true;
        world.vendor.put_thing("t", json!({"name": "T"}));
        world.vendor.trouble("GET /things/t", [Trouble::Status(429, Some(600))]);
        let mut node = world.boot();
        let tasks = "  - a: {call: acme.things.get, with: {connection: acme, id: t}}\n";
        node.deploy(&document("reader", "{}", tasks)).await;
        for id in ["evt_1", "evt_2"] {
            node.event(id, json!({})).await;
            node.settle().await;
        }
        assert_eq!(world.vendor.lines().len(), 1, "the second one did not ask");
        assert!(node.runs().iter().all(|run| run.status == RunStatus::Parked), "{:?}", node.runs());
        node.quiet().await;
        assert!(node.runs().iter().all(|run| run.status == RunStatus::Completed), "{:?}", node.runs());
        assert_eq!(world.vendor.lines().len(), 3);
    });
}
