//! Every kind of step, cut off everywhere: after each entry of its journal, before and after each commit, at each
//! request, and once more while it recovers. The end is the undisturbed one, and nothing is sent whose result was
//! there.

pub mod cases;
pub mod life;

use std::sync::Arc;

use store::{Cut, Cuts};

use crate::vendor::Trouble;
use crate::world::run;
use cases::{Case, cases};
use life::{check, check_sent, die, next, take_up, undisturbed, world};

fn at_commit(number: u64, cut: Cut) -> Option<Cuts> {
    Some(Arc::new(move |commit| (commit == number).then_some(cut)))
}

/// The table would prove little without these courses of a journal.
#[test]
fn the_table_has_every_kind_of_entry() {
    let all: String = cases()
        .iter()
        .map(|case| crate::world::kinds(&run(undisturbed(case)).journal))
        .collect::<Vec<_>>()
        .join(" ");
    for part in
        ["sf", "srf", "sirrf", "srirrirf", "sriaiairrirf", "sireireirref", "siareiareiarirf", "riasrir"]
    {
        assert!(all.contains(part), "{part} in {all}");
    }
}

#[test]
fn any_prefix_of_the_journal_leads_to_the_same_end() {
    for case in cases() {
        let life = run(undisturbed(&case));
        for length in 0..life.journal.len() {
            run(take_up(&case, &life, length));
        }
    }
}

#[test]
fn death_at_any_commit_leads_to_the_same_end() {
    for case in cases() {
        let life = run(undisturbed(&case));
        for number in life.commits.0 + 1..=life.commits.1 {
            for cut in [Cut::Before, Cut::After] {
                run(async {
                    let world = world(&case);
                    die(&world, &case, at_commit(number, cut)).await;
                    let when = format!("commit {number} cut {cut:?}");
                    recover(&world, &case, &life, &when).await;
                });
            }
        }
    }
}

/// The node that takes over dies as well, at each of its first commits. Without the cases that differ from others
/// only in what went wrong before.
#[test]
fn death_while_recovering_leads_to_the_same_end() {
    let differs = |case: &Case| !case.name.contains("-lost-") && !case.name.contains("-broken");
    for case in cases().into_iter().filter(differs) {
        let life = run(undisturbed(&case));
        for number in life.commits.0 + 1..=life.commits.1 {
            for second in 1..=2 {
                run(async {
                    let cut = |odd| if odd { Cut::Before } else { Cut::After };
                    let world = world(&case);
                    die(&world, &case, at_commit(number, cut(second % 2 == 1))).await;
                    let again = at_commit(second, cut((number + second) % 2 == 1));
                    let when = format!("commit {number}, then commit {second}");
                    match next(&world, &case, again).await {
                        Some((end, journal)) => check(&case, &life, &end, &journal, &when),
                        None => recover(&world, &case, &life, &when).await,
                    }
                });
            }
        }
    }
}

#[test]
fn death_at_any_request_leads_to_the_same_end() {
    for case in cases() {
        let life = run(undisturbed(&case));
        for number in 0..life.past.len() {
            // A request of which the case says what goes wrong with it is not also cut off.
            if life.past[number].trouble.is_some() {
                continue;
            }
            for trouble in [Trouble::Hang, Trouble::HangBefore] {
                run(async {
                    let world = world(&case);
                    world.vendor.trouble_at(number, trouble.clone());
                    die(&world, &case, None).await;
                    recover(&world, &case, &life, &format!("request {number} {trouble:?}")).await;
                });
            }
        }
    }
}

/// Takes over after a death, and looks at the end and at what was sent.
async fn recover(world: &crate::world::World, case: &Case, life: &life::Life, when: &str) {
    let before = world.vendor.past().len();
    let journal = {
        let node = world.boot();
        let journal = node.runs().first().map(|run| node.journal(&run.id)).unwrap_or_default();
        node.kill().await;
        journal
    };
    let (end, _) = next(world, case, None).await.expect("nothing kills it");
    check(case, life, &end, &journal, when);
    check_sent(case, life, &journal, &world.vendor.past()[before..], when);
    let told = world.told.0.lock().unwrap().len();
    assert!(told <= 1, "{}: {when}: told {told} times", case.name);
}
