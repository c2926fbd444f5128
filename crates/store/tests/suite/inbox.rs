//! Acceptance, dedupe, quarantine, lists of events.

use super::world::{Task, World, at};
use flow::{EventId, Fault, Mode, WorkspaceId};
use store::{Accepted, EventOutcome, EventQuery, EventStatus, EventSummary, NewEvent, NewQuarantine, Page};

#[test]
fn an_event_is_stored_once() {
    let world = World::new();
    let id = world.accept("e1", at(5));
    let again = world.go(world.store.accept_event(&world.ws, world.new_event("e1", at(5)), at(9))).unwrap();
    assert_eq!(again, Accepted::Duplicate(id.clone()));

    let elsewhere = NewEvent { connection: "stripe-eu".into(), ..world.new_event("e1", at(5)) };
    let stored = world.go(world.store.accept_event(&world.ws, elsewhere, at(9))).unwrap();
    assert!(matches!(stored, Accepted::Stored(_)), "dedupe keys are of a connection");
    let other = WorkspaceId::new("other");
    let stored = world.go(world.store.accept_event(&other, world.new_event("e1", at(5)), at(9))).unwrap();
    assert!(matches!(stored, Accepted::Stored(_)), "and of a workspace");

    let event = world.go(world.store.event(&world.ws, &id)).unwrap().unwrap();
    assert_eq!((event.time, event.received_at, event.live), (at(5), at(5), Some(false)));
    assert_eq!(event.to_cloud_event().id, "e1");
    assert_eq!(event.data["type"], "invoice.paid");
    let listed = world.go(world.store.events(&world.ws, &EventQuery::default(), Page::default())).unwrap();
    let deliveries: Vec<u32> = listed.items.iter().map(|event| event.deliveries).collect();
    assert_eq!(deliveries, [1, 2], "newest first");
    let stats = world.go(world.store.stats(Some(&world.ws))).unwrap();
    assert_eq!((stats.events_received, stats.events_duplicate, stats.events_undispatched), (2, 1, 2));
    assert_eq!(world.go(world.store.stats(None)).unwrap().events_received, 3);
}

#[test]
fn deliveries_that_race_in_one_transaction_agree_on_the_original() {
    let world = World::new();
    let tasks = (0..3)
        .map(|_| {
            let task: Task<_> =
                Box::pin(world.store.accept_event(&world.ws, world.new_event("e1", at(0)), at(0)));
            task
        })
        .collect();
    let accepted: Vec<Accepted> = world.all(tasks).into_iter().map(|result| result.unwrap()).collect();
    let Accepted::Stored(id) = &accepted[0] else { panic!("{accepted:?}") };
    assert_eq!(accepted[1..], [Accepted::Duplicate(id.clone()), Accepted::Duplicate(id.clone())]);
    assert_eq!(world.count("SELECT count(*) FROM events"), 1);
}

#[test]
fn events_wait_in_the_order_of_acceptance() {
    let world = World::new();
    let ids: Vec<EventId> = (0..5).map(|n| world.accept(&format!("e{n}"), at(-n))).collect();
    let waiting = |limit| -> Vec<EventId> {
        world.go(world.store.undispatched_events(limit)).unwrap().into_iter().map(|event| event.id).collect()
    };
    assert_eq!(waiting(3), ids[..3]);
    world.dispatch(&ids[0], vec![]).unwrap();
    assert_eq!(waiting(10), ids[1..]);
}

#[test]
fn a_body_that_is_no_event_is_kept_once_and_never_dispatched() {
    let world = World::new();
    let body = |body: &[u8]| NewQuarantine {
        id: world.event_id(),
        connection: "stripe".into(),
        body: body.into(),
        problem: Fault::validation("no `type`"),
    };
    let first = world.go(world.store.quarantine_event(&world.ws, body(b"{\"a\":1}"), at(1))).unwrap();
    let Accepted::Stored(id) = first else { panic!("{first:?}") };
    let again = world.go(world.store.quarantine_event(&world.ws, body(b"{\"a\":1}"), at(2))).unwrap();
    assert_eq!(again, Accepted::Duplicate(id.clone()));
    world.go(world.store.quarantine_event(&world.ws, body(b"\xff not json"), at(3))).unwrap();

    assert!(world.go(world.store.undispatched_events(10)).unwrap().is_empty());
    assert!(world.go(world.store.replay_event(&world.ws, &id)).is_err());
    let event = world.go(world.store.event(&world.ws, &id)).unwrap().unwrap();
    assert_eq!(event.status, EventStatus::Quarantined);
    assert_eq!(event.problem.unwrap().detail, "no `type`");
    assert_eq!(event.data["a"], 1);
    let outcomes = world.go(world.store.event_outcomes(&world.ws, &id)).unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].outcome, EventOutcome::Quarantined);
    assert_eq!(world.go(world.store.stats(Some(&world.ws))).unwrap().events_quarantined, 2);
}

fn keys(events: &[EventSummary]) -> Vec<&str> {
    events.iter().map(|event| event.dedupe_key.as_str()).collect()
}

#[test]
fn pages_cover_every_event_once() {
    let world = World::new();
    for n in 0..7 {
        world.accept(&format!("e{n}"), at(n));
    }
    let mut seen = Vec::new();
    let mut page = Page { before: None, limit: 3 };
    loop {
        let listed = world.go(world.store.events(&world.ws, &EventQuery::default(), page)).unwrap();
        assert!(listed.items.len() <= 3);
        seen.extend(listed.items);
        match listed.next {
            Some(next) => page.before = Some(next),
            None => break,
        }
    }
    assert_eq!(keys(&seen), ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]);
}

#[test]
fn lists_are_narrowed() {
    let world = World::new();
    world.deploy("f");
    let a = world.accept("a_1", at(10));
    world.accept("aX1", at(20));
    let churn = NewEvent {
        r#type: "stripe.customer.deleted".into(),
        subject: Some("cus_ABC".into()),
        connection: "stripe-eu".into(),
        ..world.new_event("b", at(30))
    };
    world.go(world.store.accept_event(&world.ws, churn, at(30))).unwrap();
    world.dispatch(&a, vec![world.to_flow("f", None, Mode::Queue)]).unwrap();

    let all = EventQuery::default;
    let text = |text: &str| EventQuery { text: Some(text.into()), ..all() };
    let of_type = |name: &str| EventQuery { r#type: Some(name.into()), ..all() };
    let outcome = |name: &str| EventQuery { outcome: Some(name.into()), ..all() };
    let cases = [
        (all(), vec!["b", "aX1", "a_1"]),
        (EventQuery { status: Some(EventStatus::Dispatched), ..all() }, vec!["a_1"]),
        (EventQuery { connection: Some("stripe-eu".into()), ..all() }, vec!["b"]),
        (of_type("stripe.invoice.paid"), vec!["aX1", "a_1"]),
        (of_type("stripe.customer.*"), vec!["b"]),
        (of_type("stripe.customer"), vec![]),
        (text("a_1"), vec!["a_1"]),
        (text("cus_abc"), vec!["b"]),
        (text("%"), vec![]),
        (EventQuery { since: Some(at(20)), ..all() }, vec!["b", "aX1"]),
        (EventQuery { until: Some(at(20)), ..all() }, vec!["a_1"]),
        (outcome("run"), vec!["a_1"]),
        (outcome("failed"), vec![]),
    ];
    for (query, expected) in cases {
        let listed = world.go(world.store.events(&world.ws, &query, Page::default())).unwrap();
        assert_eq!(keys(&listed.items), expected, "{query:?}");
    }
    let other = WorkspaceId::new("other");
    assert!(world.go(world.store.events(&other, &all(), Page::default())).unwrap().items.is_empty());
}
