//! Messages that ask, and the clicks on their buttons.

use flow::approval::{Decision, Question};
use flow::{ApprovalId, WorkspaceId};
use serde_json::{Value, json};
use store::approvals::{ApprovalStatus, NewApproval};
use store::notices::{Button, Click, Notice};
use store::{Accepted, ClaimedRun, Error, Progress};

use super::world::{World, at, effect};

/// A claimed run that asks at `/a`, and the message by which it does.
fn asking(world: &World, with: Value) -> (ClaimedRun, Notice) {
    world.deploy("f");
    world.queue("e1", "f", None);
    let run = world.claim_one();
    let new = NewApproval {
        id: ApprovalId::new("appr_1"),
        flow: "f".into(),
        step: "a".into(),
        asked: Question::read(&with).unwrap().asked,
        deadline: Some(at(2000)),
    };
    world.go(world.store.ask(&world.ws, &run.run, run.epoch, &effect("/a"), new, at(1000))).unwrap();
    let notice = Notice {
        workspace: world.ws.clone(),
        approval: ApprovalId::new("appr_1"),
        n: 0,
        connection: "chat".into(),
        operation: "chat.messages.post".into(),
        find: json!([{"with": {"channel": "c"}}]),
        place: None,
        open: true,
        due_at: None,
        tries: 0,
    };
    (run, notice)
}

fn button(choice: u32) -> Button {
    Button { workspace: WorkspaceId::default(), approval: ApprovalId::new("appr_1"), n: 0, choice }
}

fn decision(choice: &str, seconds: i64) -> Decision {
    Decision {
        by: String::new(),
        choice: choice.into(),
        comment: None,
        at: at(seconds),
        via: "chat".into(),
        origin: None,
    }
}

fn due(world: &World, seconds: i64) -> Vec<Notice> {
    world.go(world.store.due_notices(at(seconds), 9)).unwrap()
}

fn clicks(world: &World, seconds: i64) -> Vec<Click> {
    world.go(world.store.due_clicks(at(seconds), 9)).unwrap()
}

#[test]
fn a_message_is_noted_once_and_due_when_nothing_more_can_be_decided() {
    let world = World::new();
    let (store, ws) = (&world.store, &world.ws);
    let (_, notice) = asking(&world, json!({"title": "t"}));
    assert!(world.go(store.begin_notice(&notice)).unwrap());
    assert!(
        !world.go(store.begin_notice(&notice)).unwrap(),
        "whoever comes second knows that it may be sent"
    );
    let place = json!({"channel": "C1", "ts": "1.1"});
    world.go(store.notice_sent(ws, &notice.approval, 0, &place)).unwrap();
    assert_eq!(due(&world, 9_999), []);
    assert_eq!(world.go(store.mark_dropped(at(1001))).unwrap(), 0, "its run waits for it");

    let decided = Decision { by: "ann".into(), ..decision("approve", 1002) };
    world.go(store.decide(ws, &notice.approval, decided)).unwrap();
    assert_eq!(due(&world, 1001), []);
    let found = due(&world, 1002);
    let expected = Notice { place: Some(place), due_at: Some(at(1002)), ..notice.clone() };
    assert_eq!(found, [expected]);
    world.go(store.take_notice(&found[0], at(1030))).unwrap();
    assert!(matches!(world.go(store.take_notice(&found[0], at(1031))), Err(Error::Conflict { .. })));
    assert_eq!(due(&world, 1029), [], "somebody has it");
    assert_eq!(due(&world, 1030)[0].tries, 1, "and the next one goes on when they died");
    world.go(store.put_off_notice(&found[0], Some(at(1040)))).unwrap();
    assert_eq!(due(&world, 1039), []);
    world.go(store.close_notice(&found[0])).unwrap();
    assert_eq!(due(&world, 9_999), []);
    assert_eq!(world.go(store.mark_dropped(at(1050))).unwrap(), 0, "it is over");
}

#[test]
fn what_nobody_waits_for_or_nobody_answered_is_due_as_well() {
    for drops in [true, false] {
        let world = World::new();
        let (run, notice) = asking(&world, json!({"title": "t"}));
        world.go(world.store.begin_notice(&notice)).unwrap();
        let silent = Notice { n: 1, open: false, ..notice.clone() };
        world.go(world.store.begin_notice(&silent)).unwrap();
        if drops {
            let progress = Progress { over: &[effect("/a")], ..Progress::default() };
            world.go(world.store.progress(&world.ws, &run.run, run.epoch, progress)).unwrap();
            assert_eq!(world.go(world.store.mark_dropped(at(1500))).unwrap(), 1);
        } else {
            world.go(world.store.expire(&world.ws, &notice.approval, at(2001))).unwrap();
        }
        let found = due(&world, 2001);
        assert_eq!(
            found.iter().map(|notice| notice.n).collect::<Vec<_>>(),
            [0],
            "one without buttons is none"
        );
        world.go(world.store.put_off_notice(&found[0], None)).unwrap();
        assert_eq!(due(&world, 9_999), []);
    }
}

#[test]
fn a_click_is_there_with_its_event_and_gone_with_its_decision() {
    let world = World::new();
    let (store, ws) = (&world.store, &world.ws);
    let (_, notice) = asking(&world, json!({"title": "t", "assignees": ["ann@x", "bob"], "needed": 2}));
    world.go(store.begin_notice(&notice)).unwrap();
    let first = world.new_event("c1", at(1001));
    let id = first.id.clone();
    let accepted = world.go(store.accept_click(ws, first, &button(0), at(1001))).unwrap();
    assert_eq!(accepted, Accepted::Stored(id.clone()));
    let again =
        world.go(store.accept_click(ws, world.new_event("c1", at(1001)), &button(0), at(1002))).unwrap();
    assert_eq!(again, Accepted::Duplicate(id.clone()));
    let waiting = clicks(&world, 1001);
    assert_eq!(waiting.iter().map(|click| &click.event).collect::<Vec<_>>(), [&id], "once");
    let click = &waiting[0];
    world.go(store.take_click(click, at(1030))).unwrap();
    assert!(matches!(world.go(store.take_click(click, at(1031))), Err(Error::Conflict { .. })));
    assert_eq!((clicks(&world, 1029), clicks(&world, 1030)[0].tries), (vec![], 1));

    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let refused = world.go(store.decide_as(click, &names(&["U9", "carl@x"]), decision("approve", 1003)));
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.starts_with("U9 is not asked")),
        "{refused:?}"
    );
    assert_eq!(clicks(&world, 9_999).len(), 1, "what was refused is still to be told");
    let decided =
        world.go(store.decide_as(click, &names(&["U1", "Ann@x"]), decision("approve", 1003))).unwrap();
    assert_eq!((decided.status, decided.decisions[0].by.as_str()), (ApprovalStatus::Open, "ann@x"));
    assert_eq!(clicks(&world, 9_999), []);
    assert_eq!(due(&world, 9_999), [], "another one has to decide, too");

    world.go(store.accept_click(ws, world.new_event("c2", at(1004)), &button(1), at(1004))).unwrap();
    let click = clicks(&world, 1004).remove(0);
    assert_eq!(click.choice, 1);
    world.go(store.forget_click(&click)).unwrap();
    assert_eq!(clicks(&world, 9_999), []);
}

#[test]
fn a_button_is_what_was_signed_here_and_no_link() {
    let world = World::new();
    let text = world.store.sign_button(&button(2)).unwrap();
    assert_eq!(world.store.read_button(&text), Some(button(2)));
    assert_eq!(world.store.read_link(&text), None);
    let link = store::approvals::ApprovalLink {
        workspace: WorkspaceId::default(),
        approval: ApprovalId::new("appr_1"),
        who: None,
        until: at(2000),
    };
    assert_eq!(world.store.read_button(&world.store.sign_link(&link).unwrap()), None);
    for n in 0..text.len() {
        let mut forged = text.clone().into_bytes();
        forged[n] = if forged[n] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_ne!(world.store.read_button(&forged), Some(button(2)), "{n}");
    }
    for text in ["", "AA", &text[..20]] {
        assert_eq!(world.store.read_button(text), None);
    }
}
