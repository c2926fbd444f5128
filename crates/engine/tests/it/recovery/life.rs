//! A run's life from its event to its end, undisturbed, broken off anywhere, or taken up from any part of a journal.

use std::collections::{BTreeMap, BTreeSet};

use flow::approval::Decision;
use flow::clock::Clock as _;
use flow::journal::{Entry, Outcome};
use flow::{ApprovalId, EffectRef};
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::approvals::{ApprovalQuery, ApprovalStatus};
use store::{Cuts, Page, RunStatus};

use super::cases::{Case, Unsure, things};
use crate::vendor::Past;
use crate::world::{Node, World, default_workspace, kinds, read};

/// What there is to compare when everything is over.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub vendor: Value,
    pub status: RunStatus,
    /// What the run gave, or its fault.
    pub outcome: Outcome,
    /// Results by effect; the last one where an effect was found out anew.
    pub results: BTreeMap<EffectRef, Value>,
}

/// A life as it went.
pub struct Life {
    pub journal: Vec<Entry>,
    /// Everything that the vendor was asked.
    pub past: Vec<Past>,
    pub end: End,
    /// Transactions committed before the event came, and at the end.
    pub commits: (u64, u64),
}

/// A world where the case's vendor is as the case says.
pub fn world(case: &Case) -> World {
    let world = World::new();
    things().into_iter().for_each(|(id, thing)| world.vendor.put_thing(id, thing));
    for (line, trouble) in &case.troubles {
        world.vendor.trouble(line, [trouble.clone()]);
    }
    world
}

/// What is there now, when the run is over.
pub fn end(node: &Node<'_>, case: &Case) -> End {
    let run = node.the_run();
    let (mut results, mut outcome) = (BTreeMap::new(), None);
    for entry in node.journal(&run.id) {
        match entry {
            Entry::Resolved { effect, outcome, .. } => {
                let before = results.insert(effect, told(&outcome));
                assert!(case.afresh || before.is_none(), "{}: an effect has one result", case.name);
            }
            Entry::Finished { outcome: found, .. } => {
                assert_eq!(outcome.replace(found), None, "{}: a run ends once", case.name);
            }
            _ => {}
        }
    }
    let outcome = outcome.unwrap_or_else(|| panic!("{}: no end: {run:?}", case.name));
    End { vendor: node.world.vendor.world(), status: run.status, outcome, results }
}

/// A result, without what is by chance or by the clock: the id of a question, and when somebody decided.
pub fn told(outcome: &Outcome) -> Value {
    let mut told = serde_json::to_value(outcome).unwrap();
    if let Some(output) = told.get_mut("output").filter(|output| output.get("decisions").is_some()) {
        output["id"] = json!("appr");
        for decision in output["decisions"].as_array_mut().into_iter().flatten() {
            decision["at"] = Value::Null;
        }
    }
    told
}

/// Lets time go by until there is nothing to do, while people decide as the case says.
pub async fn over(node: &mut Node<'_>, case: &Case) {
    loop {
        let decides = case.decides.as_ref();
        node.until(|node| node.is_quiet() || decides.is_some_and(|_| question(node).is_some())).await;
        let (Some(choice), Some(id)) = (decides, question(node).filter(|_| !node.is_dead())) else { return };
        let decision = Decision {
            by: "ann".into(),
            choice: choice.clone(),
            comment: None,
            at: node.world.time.now(),
            via: "api".into(),
            origin: None,
        };
        let (store, workspace) = (node.store.clone(), default_workspace());
        // Where it dies of it, somebody decides again.
        node.drive(store.decide(&workspace, &id, decision)).await.ok();
        node.wake();
    }
}

/// What people are asked now.
fn question(node: &Node<'_>) -> Option<ApprovalId> {
    let query = ApprovalQuery { status: Some(ApprovalStatus::Open), ..ApprovalQuery::default() };
    let open = read(node.store.approvals(&default_workspace(), &query, Page::default())).ok()?;
    open.items.first().map(|approval| approval.id.clone())
}

/// The life that nothing disturbs.
pub async fn undisturbed(case: &Case) -> Life {
    let world = world(case);
    let mut node = world.boot();
    node.deploy(&case.document).await;
    node.settle().await;
    let before = node.commits();
    node.event("evt_1", case.data.clone()).await;
    over(&mut node, case).await;
    let (run, end) = (node.the_run(), end(&node, case));
    let told = world.told.0.lock().unwrap().len();
    assert_eq!(told, usize::from(run.status == RunStatus::Failed), "{}: {:?}", case.name, run.fault);
    Life { journal: node.journal(&run.id), past: world.vendor.past(), end, commits: (before, node.commits()) }
}

/// A node that is cut off, and dies of it; what it does before is what the case says.
pub async fn die(world: &World, case: &Case, cuts: Option<Cuts>) {
    let mut node = world.boot_cut(cuts);
    node.deploy(&case.document).await;
    node.settle().await;
    // Where the event's own commit is cut off, the vendor is not told and will send it again.
    drop(node.accept("evt_1", case.data.clone()).await);
    over(&mut node, case).await;
    assert!(node.is_dead(), "{}: it lives", case.name);
    node.kill().await;
}

/// The next node, which finishes what there is; or dies of `cuts` as well.
pub async fn next(world: &World, case: &Case, cuts: Option<Cuts>) -> Option<(End, Vec<Entry>)> {
    let mut node = world.boot_cut(cuts);
    drop(node.accept("evt_1", case.data.clone()).await);
    over(&mut node, case).await;
    if node.is_dead() {
        node.kill().await;
        return None;
    }
    let journal = node.journal(&node.the_run().id);
    Some((end(&node, case), journal))
}

/// The end after a death may differ in one thing: what a write of unknown outcome comes to.
pub fn check(case: &Case, life: &Life, found: &End, journal: &[Entry], when: &str) {
    let at = || format!("{}, {when}, journal {}", case.name, kinds(journal));
    match case.unsure {
        Unsure::Same => assert_eq!(found, &life.end, "{}", at()),
        Unsure::Twice => assert_eq!(once(found), once(&life.end), "{}", at()),
        Unsure::Asks if found.status == RunStatus::Completed => assert_eq!(found, &life.end, "{}", at()),
        Unsure::Asks => {
            let Outcome::Fault(fault) = &found.outcome else { panic!("{}: {found:?}", at()) };
            assert_eq!(fault.code(), "outcome_unknown", "{}", at());
            let names = |end: &End| names(&end.vendor["refunds"]);
            assert!(names(&life.end).starts_with(&names(found)), "{}: {found:?}", at());
        }
    }
}

/// Names of records, in order.
fn names(records: &Value) -> Vec<String> {
    let records = records.as_array().map(Vec::as_slice).unwrap_or_default();
    records.iter().map(|record| record["name"].as_str().unwrap_or_default().to_owned()).collect()
}

/// An end in which doing a thing twice counts once.
fn once(end: &End) -> End {
    let mut end = end.clone();
    let set: BTreeSet<String> = names(&end.vendor["pings"]).into_iter().collect();
    end.vendor = json!(set);
    for result in end.results.values_mut() {
        if let Some(output) = result.get_mut("output").and_then(Value::as_object_mut) {
            output.remove("id");
        }
    }
    end
}

/// A request as an effect asks for it: what tells one effect's requests from another's.
fn request(operation: &str, input: &Value) -> Option<(String, Value)> {
    let name = input["name"].as_str().unwrap_or_default();
    let line = match operation {
        "acme.things.get" => return Some((format!("GET /things/{}", input["id"].as_str()?), Value::Null)),
        "acme.states.set" => return Some((format!("PUT /states/{name}"), input["value"].clone())),
        "acme.charges.create" => "POST /charges",
        "acme.customers.create" => "POST /customers",
        "acme.notes.create" => "POST /notes",
        "acme.pings.send" => "POST /pings",
        "acme.refunds.create" => "POST /refunds",
        _ => return None,
    };
    Some((line.to_owned(), json!(name)))
}

fn asked(past: &Past) -> (String, Value) {
    let body = if past.line.starts_with("PUT ") { &past.body["value"] } else { &past.body["name"] };
    (past.line.clone(), body.clone())
}

/// How many effects of each request have a result in a journal. A `try` that begins again sends the same once more:
/// only what was not refused counts.
fn answered(journal: &[Entry]) -> BTreeMap<(String, String), usize> {
    let mut answered = BTreeMap::new();
    for entry in journal {
        if let Entry::Resolved { operation, input, outcome: Outcome::Output(_), .. } = entry
            && let Some((line, body)) = request(operation, input)
        {
            *answered.entry((line, body.to_string())).or_default() += 1;
        }
    }
    answered
}

/// No effect whose result is in the journal is sent again, by what the vendor was asked afterwards.
pub fn check_sent(case: &Case, life: &Life, journal: &[Entry], after: &[Past], when: &str) {
    if case.afresh {
        return;
    }
    let (all, before) = (answered(&life.journal), answered(journal));
    for past in after {
        let (line, body) = asked(past);
        let request = (line, body.to_string());
        assert!(
            before.get(&request).is_none_or(|before| *before < all[&request]),
            "{}, {when}, journal {}: {past:?} was sent although its result was there",
            case.name,
            kinds(journal)
        );
    }
}

/// What the vendor had been asked when the journal had come to `entries`, as a list for each possibility: a write
/// that has an intent and no answer may have been sent or not.
fn pasts<'l>(entries: &[Entry], past: &'l [Past]) -> Vec<(&'static str, &'l [Past])> {
    let mut intents = 0;
    let mut open = None;
    for entry in entries {
        match entry {
            // Of a program the vendor is not asked.
            Entry::Intent { operation, .. } if operation.starts_with("run.") => {}
            Entry::Intent { effect, .. } => {
                intents += 1;
                open = Some(effect);
            }
            Entry::Attempted { effect, .. } | Entry::Resolved { effect, .. } if open == Some(effect) => {
                open = None;
            }
            _ => {}
        }
    }
    let writes: Vec<usize> = (0..past.len()).filter(|index| past[*index].is_write()).collect();
    let before = |write: usize| &past[..writes.get(write).copied().unwrap_or(past.len())];
    if open.is_some() {
        let sent = writes[intents - 1];
        vec![("not sent", &past[..sent]), ("sent", &past[..=sent])]
    } else {
        vec![("", before(intents))]
    }
}

/// Takes a run up from the first `length` entries of a journal, in every world that these allow.
pub async fn take_up(case: &Case, life: &Life, length: usize) {
    let entries = &life.journal[..length];
    for (sent, past) in pasts(entries, &life.past) {
        let when = format!("prefix {length} {sent}");
        let world = world(case);
        world.vendor.relive(past);
        let world = inject(world, case, entries).await;
        if let Some(last) = entries.last() {
            let now = flow::clock::Clock::now(&*world.time);
            world.time.advance(last.at().duration_since(now).max(SignedDuration::ZERO));
        }
        let mut node = world.boot();
        over(&mut node, case).await;
        let found = end(&node, case);
        check(case, life, &found, entries, &when);
        check_sent(case, life, entries, &world.vendor.past(), &when);
        let journal = node.journal(&node.the_run().id);
        assert_eq!(&journal[..length], entries, "{}: {when}: what was written stays", case.name);
    }
}

/// The events that a run had emitted by then, with the ids by which it heard them itself.
fn emitted(entries: &[Entry]) -> Vec<(Option<String>, Value)> {
    let heard = |key: &Value| {
        entries.iter().find_map(|entry| match entry {
            Entry::Heard { event, value: Some(value), .. } if value["id"] == *key => Some(event.clone()),
            _ => None,
        })
    };
    let emitted = entries.iter().filter_map(|entry| match entry {
        Entry::Resolved { operation, outcome: Outcome::Output(event), .. } if operation == "emit" => {
            Some((heard(&event["id"]), event.clone()))
        }
        _ => None,
    });
    emitted.collect()
}

/// A store with a run whose journal has these entries, left by a node that died.
async fn inject(mut world: World, case: &Case, entries: &[Entry]) -> World {
    let workers = std::mem::replace(&mut world.config.workers, 0);
    let mut node = world.boot();
    node.deploy(&case.document).await;
    node.event("evt_1", case.data.clone()).await;
    node.settle().await;
    for (id, event) in emitted(entries) {
        node.emitted_as(id, &event).await;
    }
    node.settle().await;
    let (store, now) = (node.store.clone(), flow::clock::Clock::now(&*world.time));
    let lease = SignedDuration::from_secs(30);
    let claims = node.drive(store.claim_runs("elsewhere", 1, lease, now)).await.unwrap();
    let (run, epoch) = (&claims[0].run, claims[0].epoch);
    let workspace = default_workspace();
    node.drive(store.journal_append(&workspace, run, epoch, entries)).await.unwrap();
    node.drive(store.release_run(&workspace, run, epoch)).await.unwrap();
    node.kill().await;
    world.config.workers = workers;
    world
}
