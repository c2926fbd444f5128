//! What must not be done twice, or go on for ever: after retries and many replays, with answers that cannot be kept, when the
//! clock jumps, and when much is answered from memory.

use jiff::SignedDuration;
use serde_json::json;
use store::RunStatus;

use crate::flows::{document, one};
use crate::vendor::Trouble;
use crate::world::{World, run};

#[test]
fn a_replay_repeats_nothing_that_a_retry_by_hand_had_done() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        // It fails before there is a request: the connection is not there yet.
        node.deploy_only(&one("acme.charges.create")).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        let failed = node.the_run();
        assert_eq!(failed.status, RunStatus::Failed);
        node.connect("acme", false).await;
        node.retry(&failed.id).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["a"]);
        node.replay(&event).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("charges"), ["a"], "{:?}", world.vendor.seen());
        assert!(node.runs().iter().all(|run| run.status == RunStatus::Completed));
    });
}

#[test]
fn replays_are_remembered_however_many_there_were() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&one("acme.notes.create")).await;
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        for _ in 0..25 {
            node.replay(&event).await;
            node.quiet().await;
        }
        assert_eq!(node.runs().len(), 26);
        assert_eq!(world.vendor.seen().len(), 1, "asked once, done once");
    });
}

#[test]
fn an_answer_that_cannot_be_kept_fails_the_step_at_once() {
    run(async {
        let world = World::new();
        // Six bytes of JSON each: a little less than the longest answer, a little more than fits into the journal.
        world.vendor.put_thing("t", json!({"name": "\u{1}".repeat((16 << 20) / 6 - 12)}));
        let mut node = world.boot();
        let tasks = "  - look: {call: acme.things.get, with: {connection: acme, id: t}}\n";
        node.deploy(&document("large", "{}", tasks)).await;
        node.event("evt_1", json!({})).await;
        node.quiet().await;
        let fault = node.the_run().fault.unwrap();
        assert!(fault.code() == "run_limit" && fault.detail.contains("as JSON"), "{fault:?}");
        assert_eq!(world.vendor.lines(), ["GET /things/t"]);
    });
}

#[test]
fn a_clock_that_jumps_takes_no_run_from_whoever_works_on_it() {
    run(async {
        let world = World::new();
        let mut node = world.boot();
        world.vendor.trouble("POST /charges", [Trouble::Slow(20)]);
        node.deploy(&one("acme.charges.create")).await;
        node.event("evt_1", json!({})).await;
        node.settle().await;
        assert_eq!(world.vendor.seen().len(), 1, "its request is under way");
        // The machine slept for longer than a lease: no timer has gone off.
        world.time.advance(SignedDuration::from_secs(45));
        node.wake();
        node.settle().await;
        node.quiet().await;
        assert_eq!(world.vendor.seen().len(), 1);
        assert_eq!(node.the_run().status, RunStatus::Completed);
    });
}

#[test]
fn much_from_memory_in_one_branch_and_a_write_in_the_other_come_to_an_end() {
    let tasks = "  - both:
      fork:
        branches:
        - many: {for: {each: n, in: '${ [range(0; 300)] }'}, do: [{charge: {call: acme.charges.create, with: {connection: acme, name: '${ \"c\" + ($n | tostring) }'}}}]}
        - one: {do: [{look: {call: acme.things.get, with: {connection: acme, id: t}}}, {note: {call: acme.notes.create, with: {connection: acme, name: n}}}]}
";
    run(async {
        let world = World::new();
        let mut node = world.boot();
        node.deploy(&document("forked", "{}", tasks)).await;
        // The read fails after everything else is done, so that only the replay comes to the note.
        world.vendor.trouble("GET /things/t", [Trouble::Slow(3600)]);
        let event = node.event("evt_1", json!({})).await;
        node.quiet().await;
        assert_eq!(node.the_run().status, RunStatus::Failed);
        assert_eq!(world.vendor.names("charges").len(), 300);
        world.vendor.put_thing("t", json!({"name": "T"}));
        node.replay(&event).await;
        node.quiet().await;
        assert_eq!(world.vendor.names("notes"), ["n"]);
        assert_eq!(world.vendor.names("charges").len(), 300);
    });
}
