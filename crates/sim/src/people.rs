//! People who are asked by flows. A message leads them to a question; they decide at once, later, too late, twice, in
//! contradiction to themselves, or never, and try again where nobody answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use bytes::Bytes;
use engine::Timer as _;
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use twins::slack::Slack;

use crate::chance::{Chance, Stream};
use crate::node::ask;
use crate::time::Time;
use crate::trace::Trace;

/// What leads to a question.
pub const LINK: &str = "/approve/";
/// Exercises give people so long to decide; somebody is always late.
const DEADLINE_S: u64 = 2 * 86_400;
/// Who got no answer tries again.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// A form is under way for so many milliseconds.
const WAY_MS: (u64, u64) = (5, 80);

/// What somebody is about to do.
#[derive(Clone, Debug)]
struct Deed {
    /// `/approve/…`
    path: String,
    title: String,
    who: String,
    choice: &'static str,
}

/// The number of what was sent, and the status that came back, if one did.
type Answer = (u64, Option<u16>);

/// Who took which choice, by the question's title.
pub type Decisions = BTreeMap<String, BTreeSet<(String, String)>>;

/// Everybody, and what they saw.
pub struct People {
    time: Arc<Time>,
    trace: Trace,
    chance: Chance,
    /// Messages that were read.
    read: usize,
    deeds: BTreeMap<(Timestamp, u64), Deed>,
    number: u64,
    in_flight: BTreeMap<u64, (Deed, JoinHandle<()>)>,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// Decisions that were sent, whatever came of it.
    pub sent: Decisions,
    /// Decisions of which somebody saw that they were taken.
    pub taken: Decisions,
}

impl People {
    pub fn new(seed: u64, time: Arc<Time>, trace: Trace) -> People {
        People {
            time,
            trace,
            chance: Chance::new(seed, Stream::People),
            read: 0,
            deeds: BTreeMap::new(),
            number: 0,
            in_flight: BTreeMap::new(),
            answers: Arc::default(),
            sent: Decisions::new(),
            taken: Decisions::new(),
        }
    }

    /// When somebody does something next.
    pub fn next(&self) -> Option<Timestamp> {
        self.deeds.keys().next().map(|(at, _)| *at)
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Reads what is new in the chat: who, the question and the way to it stand on lines of their own.
    pub fn look(&mut self, slack: &Slack) {
        let messages = slack.messages();
        for message in messages.iter().skip(self.read) {
            let lines: Vec<&str> = message.text.lines().collect();
            let [who, title, .., link] = lines[..] else { continue };
            if let Some(place) = link.find(LINK) {
                self.make_up_mind(&link[place..], title, who);
            }
        }
        self.read = messages.len();
    }

    fn make_up_mind(&mut self, path: &str, title: &str, who: &str) {
        let choice = if self.chance.hit(75) { "approve" } else { "reject" };
        let soon = self.chance.pick(30, 20 * 3_600);
        let close = DEADLINE_S - 120 + self.chance.pick(0, 240);
        let after = DEADLINE_S + self.chance.pick(300, 3_600);
        let again = self.chance.pick(0, 600);
        let other = if choice == "approve" { "reject" } else { "approve" };
        let plan = match self.chance.pick(0, 11) {
            0 => Vec::new(),
            1 | 2 => vec![(0, choice)],
            3 | 4 => vec![(soon, choice), (soon + again, choice)],
            5 | 6 => vec![(soon, choice), (soon + again, other)],
            7 => vec![(close, choice)],
            8 => vec![(after, choice)],
            _ => vec![(soon, choice)],
        };
        for (seconds, choice) in plan {
            let (path, title, who) = (path.to_owned(), title.to_owned(), who.to_owned());
            let after = SignedDuration::from_secs(seconds.cast_signed());
            self.intend(Deed { path, title, who, choice }, after);
        }
    }

    fn intend(&mut self, deed: Deed, after: SignedDuration) {
        let now = self.time.truth();
        self.number += 1;
        self.deeds.insert((now.saturating_add(after).unwrap_or(now), self.number), deed);
    }

    /// Does what is due, by a process if there is one.
    pub fn act(&mut self, router: Option<&Router>) {
        while let Some(entry) = self.deeds.first_entry().filter(|entry| entry.key().0 <= self.time.truth()) {
            let ((_, number), deed) = entry.remove_entry();
            let Some(router) = router else {
                self.intend(deed, AGAIN);
                continue;
            };
            self.trace.say(|| format!("{} sends: {}, {}", deed.who, deed.choice, deed.title));
            let decision = (deed.who.clone(), deed.choice.to_owned());
            self.sent.entry(deed.title.clone()).or_default().insert(decision);
            let way = std::time::Duration::from_millis(self.chance.pick(WAY_MS.0, WAY_MS.1));
            let (router, time, answers) = (router.clone(), self.time.clone(), self.answers.clone());
            let (path, body) = (deed.path.clone(), Bytes::from(format!("choice={}", deed.choice)));
            let task = tokio::spawn(async move {
                time.sleep(way).await;
                let form = ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned());
                let answer = ask(router, "POST", &path, vec![form], body).await;
                time.sleep(way).await;
                lock(&answers).push((number, answer.map(|(status, _)| status)));
            });
            self.in_flight.insert(number, (deed, task));
        }
    }

    /// Takes the answers that arrived; whether there were any.
    pub fn settle(&mut self) -> bool {
        let answers = std::mem::take(&mut *lock(&self.answers));
        let any = !answers.is_empty();
        for (number, status) in answers {
            let Some((deed, _)) = self.in_flight.remove(&number) else { continue };
            self.trace.say(|| format!("{} sees {status:?}: {}", deed.who, deed.title));
            match status {
                Some(303) => {
                    self.taken.entry(deed.title).or_default().insert((deed.who, deed.choice.to_owned()));
                }
                // Decided by now, or too late.
                Some(400..=499) => {}
                _ => self.intend(deed, AGAIN),
            }
        }
        any
    }

    /// The process died: nobody gets an answer.
    pub fn cut_off(&mut self) {
        self.settle();
        for (_, (deed, task)) in std::mem::take(&mut self.in_flight) {
            task.abort();
            self.intend(deed, AGAIN);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
