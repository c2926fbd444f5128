//! Questions to people: asked once, decided by the rules, told to the run in the same unit.

use flow::approval::{Asked, Decision, Question};
use flow::journal::Outcome;
use flow::{ApprovalId, WorkspaceId};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::approvals::{Approval, ApprovalLink, ApprovalQuery, ApprovalStatus, NewApproval};
use store::{ClaimedRun, Error, Page, Progress, Result, Told};

use super::world::{World, at, effect};

fn asked(with: Value) -> Asked {
    Question::read(&with).unwrap().asked
}

/// A claimed run that asks at `/a`, until second 2000.
fn asking(world: &World, with: Value) -> (ClaimedRun, Approval) {
    world.deploy("f");
    world.queue("e1", "f", None);
    let run = world.claim_one();
    let approval = ask(world, &run, "appr_1", with);
    (run, approval)
}

fn ask(world: &World, run: &ClaimedRun, id: &str, with: Value) -> Approval {
    let new = NewApproval {
        id: ApprovalId::new(id),
        flow: "f".into(),
        step: "a".into(),
        asked: asked(with),
        deadline: Some(at(2000)),
    };
    world.go(world.store.ask(&world.ws, &run.run, run.epoch, &effect("/a"), new, at(1000))).unwrap()
}

fn decision(by: &str, choice: &str, seconds: i64) -> Decision {
    Decision {
        by: by.into(),
        choice: choice.into(),
        comment: None,
        at: at(seconds),
        via: "api".into(),
        origin: Some("127.0.0.1".into()),
    }
}

fn decide(world: &World, by: &str, choice: &str, seconds: i64) -> Result<Approval> {
    let id = ApprovalId::new("appr_1");
    world.go(world.store.decide(&world.ws, &id, decision(by, choice, seconds)))
}

#[test]
fn a_question_is_asked_once_and_its_decision_reaches_the_run() {
    let world = World::new();
    let question = json!({"title": "t", "assignees": ["ann", "bob"], "needed": 2});
    let (run, first) = asking(&world, question.clone());
    assert_eq!((first.status, first.deadline), (ApprovalStatus::Open, Some(at(2000))));
    let again = ask(&world, &run, "appr_2", question);
    assert_eq!(again, first, "what was asked stays");

    let one = decide(&world, "ann", "approve", 1001).unwrap();
    assert_eq!((one.status, one.decisions.len()), (ApprovalStatus::Open, 1));
    assert!(matches!(decide(&world, "ANN ", "reject", 1002), Err(Error::Refused(_))));
    assert!(matches!(decide(&world, "eve", "approve", 1002), Err(Error::Refused(_))));
    assert_eq!(world.go(world.store.signals_waiting(&world.ws, &run.run)).unwrap(), 0);

    let two = decide(&world, "bob", "approve", 1003).unwrap();
    assert_eq!((two.status, two.choice.as_deref()), (ApprovalStatus::Decided, Some("approve")));
    let by: Vec<&str> = two.decisions.iter().map(|decision| decision.by.as_str()).collect();
    assert_eq!(by, ["ann", "bob"]);
    let signals = world.go(world.store.signals(&world.ws, &run.run, 0)).unwrap();
    let Told::Value(told) = &signals[0].told else { panic!("{signals:?}") };
    let Outcome::Output(output) = serde_json::from_value(told.clone()).unwrap() else { panic!("{told}") };
    assert_eq!((&output["choice"], &output["decisions"][1]["by"]), (&json!("approve"), &json!("bob")));
    let late = decide(&world, "carl", "approve", 1004);
    assert!(matches!(&late, Err(Error::State { state, .. }) if state == "decided (approve)"), "{late:?}");
}

#[test]
fn a_question_stands_until_its_deadline_or_as_long_as_its_run_waits() {
    let world = World::new();
    let question = json!({"title": "t", "deadline": "PT1H", "otherwise": "reject"});
    let (run, approval) = asking(&world, question.clone());
    let late = decide(&world, "ann", "approve", 2000);
    assert!(matches!(&late, Err(Error::State { state, .. }) if state == "expired"), "{late:?}");
    let progress = Progress { over: &[effect("/a")], ..Progress::default() };
    world.go(world.store.progress(&world.ws, &run.run, run.epoch, progress)).unwrap();
    let dropped = decide(&world, "ann", "approve", 1001);
    assert!(matches!(&dropped, Err(Error::State { state, .. }) if state == "dropped"), "{dropped:?}");
    // A pass that begins afresh waits for the same answer.
    assert_eq!(ask(&world, &run, "appr_2", question).status, ApprovalStatus::Open);
    let expired = world.go(world.store.expire(&world.ws, &approval.id, at(2001))).unwrap();
    assert_eq!((expired.status, expired.choice.as_deref()), (ApprovalStatus::Expired, Some("reject")));
    assert_eq!(expired.closed_at, Some(at(2001)));
}

/// What people said yes to is what was asked, not what is asked now.
#[test]
fn another_question_of_the_same_step_is_asked_anew() {
    let world = World::new();
    let (run, _) = asking(&world, json!({"title": "refund 10 EUR?"}));
    decide(&world, "ann", "approve", 1001).unwrap();
    let anew = ask(&world, &run, "appr_2", json!({"title": "refund 1000 EUR?"}));
    assert_eq!((anew.id.as_str(), anew.status), ("appr_2", ApprovalStatus::Open));
    assert_eq!(
        world.go(world.store.signals_waiting(&world.ws, &run.run)).unwrap(),
        0,
        "nor is the old answer taken"
    );
    let before = world.go(world.store.approval(&world.ws, &ApprovalId::new("appr_1"))).unwrap().unwrap();
    assert_eq!((before.status, before.decisions.len()), (ApprovalStatus::Decided, 1), "it stays on record");
    let third = ask(&world, &run, "appr_3", json!({"title": "refund 2000 EUR?"}));
    assert_eq!(third.status, ApprovalStatus::Open);
    let late = world.go(world.store.decide(&world.ws, &anew.id, decision("ann", "approve", 1002)));
    assert!(matches!(&late, Err(Error::State { state, .. }) if state == "dropped"), "{late:?}");
}

#[test]
fn a_retried_run_asks_anew_what_nobody_answered() {
    for in_time in [true, false] {
        let world = World::new();
        let question = json!({"title": "t"});
        let (run, approval) = asking(&world, question.clone());
        world.go(world.store.note_told(&world.ws, &approval.id, "told")).unwrap();
        if !in_time {
            world.go(world.store.expire(&world.ws, &approval.id, at(2001))).unwrap();
        }
        let again = ask(&world, &run, "appr_2", question.clone());
        assert_eq!(
            (again.status == ApprovalStatus::Open, again.id),
            (in_time, approval.id),
            "as after a crash"
        );
        let outcome = Outcome::Fault(flow::Fault::runtime("nobody decided, or something else failed"));
        world.go(world.store.finish(&world.ws, &run.run, run.epoch, &[], &outcome, at(2002))).unwrap();
        world.go(world.store.retry_run(&world.ws, &run.run)).unwrap();
        let run = world.claim_one();
        let anew = ask(&world, &run, "appr_3", question);
        assert_eq!((anew.id.as_str(), anew.status, anew.told), ("appr_3", ApprovalStatus::Open, None));
    }
}

#[test]
fn questions_are_listed_by_what_one_looks_for() {
    let world = World::new();
    let (run, _) = asking(&world, json!({"title": "t"}));
    let list = |query: ApprovalQuery| -> Vec<String> {
        let listed = world.go(world.store.approvals(&world.ws, &query, Page::default())).unwrap();
        listed.items.iter().map(|approval| approval.id.to_string()).collect()
    };
    let with = |status| ApprovalQuery { status: Some(status), ..ApprovalQuery::default() };
    assert_eq!(list(with(ApprovalStatus::Open)), ["appr_1"]);
    assert_eq!(list(ApprovalQuery { run: Some(run.run.clone()), ..ApprovalQuery::default() }), ["appr_1"]);
    assert!(list(ApprovalQuery { flow: Some("g".into()), ..ApprovalQuery::default() }).is_empty());
    let other = world.go(world.store.approvals(
        &WorkspaceId::new("other"),
        &with(ApprovalStatus::Open),
        Page::default(),
    ));
    assert!(other.unwrap().items.is_empty());
    world.go(world.store.cancel_run(&world.ws, &run.run, at(1001))).unwrap();
    assert!(list(with(ApprovalStatus::Open)).is_empty(), "nobody waits for it");
    assert_eq!(list(with(ApprovalStatus::Dropped)), ["appr_1"]);
    assert_eq!(list(ApprovalQuery::default()), ["appr_1"]);
}

#[test]
fn a_link_is_what_was_signed_here_and_nothing_else() {
    let world = World::new();
    let link = ApprovalLink {
        workspace: WorkspaceId::default(),
        approval: ApprovalId::new("appr_1"),
        who: Some("ann".into()),
        until: at(0) + SignedDuration::from_hours(1),
    };
    let text = world.store.sign_link(&link).unwrap();
    assert_eq!(world.store.read_link(&text), Some(link.clone()));
    let other = world.store.sign_link(&ApprovalLink { who: Some("bob".into()), ..link }).unwrap();
    // Each half of one with the other half of the other.
    let mixed = format!("{}{}", &text[..text.len() - 43], &other[other.len() - 43..]);
    for forged in [mixed.as_str(), &text[1..], &text[..text.len() - 1], "", "AAAA", "€"] {
        assert_eq!(world.store.read_link(forged), None, "{forged}");
    }
    for place in 0..text.len() {
        let mut forged = text.clone().into_bytes();
        forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
        assert_eq!(world.store.read_link(&String::from_utf8(forged).unwrap()), None, "at {place}");
    }
}

/// Questions leave with the history of their run, neither while it is at hand nor before their month is over.
#[test]
fn what_was_asked_is_forgotten_with_the_history_of_its_run() {
    let world = World::new();
    let (run, approval) = asking(&world, json!({"title": "t", "assignees": ["ann"]}));
    decide(&world, "ann", "approve", 1001).unwrap();
    let day = |days: i64| at(2000) + SignedDuration::from_hours(24 * days);
    let drop_before = |days| world.go(world.store.drop_approvals(day(days))).unwrap();
    assert_eq!(drop_before(40), 0, "its run is at work");
    world.finish(&run).unwrap();
    while world.go(world.store.retire(day(1), 9)).unwrap() > 0 {}
    assert_eq!(drop_before(0), 0, "its month goes on");
    assert!(world.go(world.store.approval(&world.ws, &approval.id)).unwrap().is_some());
    assert_eq!(drop_before(40), 2);
    assert_eq!(world.go(world.store.approval(&world.ws, &approval.id)).unwrap(), None);
    assert_eq!(world.count("SELECT count(*) FROM approval_decisions"), 0);
}
