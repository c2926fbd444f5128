//! What a claimed run does at the same time: its calls under way, and what waits for its time.
//!
//! | there is | then |
//! |---|---|
//! | a call under way | whichever comes first: its answer, or the time of the earliest wait |
//! | only waits, the earliest soon | that one, in place |
//! | only waits, all late | the run is put aside until the earliest, or until it is told something |
//! | something that it was told | that first |
//! | the node stops | calls under way come to their answers, then the run is let go of |
//!
//! The machine is told results in the order in which they are entered in the journal, one at a time. What it awaits no
//! longer (a timeout came, another branch won) is dropped; a write that was under way then may have happened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use connect::BoxFuture;
use flow::hearing::Interest;
use flow::journal::{Entry, Outcome};
use flow::{Effect, EffectRef, Fault, Input, Machine, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Signal, Told};

use crate::effect::{Call, Performed};
use crate::fault;
use crate::history::event_of;
use crate::journal::Lost;
use crate::lifecycle::Tasks;
use crate::limits::{EFFECTS_MAX, RESULT_BYTES_MAX, SIGNALS_READ_MAX};
use crate::plain::is_plain;
use crate::run::{Ending, Run};
use crate::waits::Awaiting;

/// A timer beside calls is set no further than this, and then set again.
const TIMER_MAX: SignedDuration = SignedDuration::from_hours(1);

pub struct Work<'r, 'a> {
    run: &'r Run<'a>,
    machine: Machine,
    /// Asked for and not begun.
    asked: Vec<Effect>,
    calls: Vec<UnderWay<'r>>,
    aside: Vec<Aside>,
    awaiting: Vec<Awaiting>,
    /// Effects that signals are let through to.
    waited: BTreeSet<EffectRef>,
    /// What the run was told and nobody takes yet, and the last of it that was read.
    signals: VecDeque<Signal>,
    seen: u64,
    /// For each effect of which signals were read and not kept: the first of them.
    skipped: BTreeMap<String, u64>,
    /// Effects begun, over all claims.
    effects: u64,
    /// Where tasks' lives are told.
    tasks: Option<Tasks>,
}

/// A call that is being performed.
struct UnderWay<'r> {
    at: EffectRef,
    future: BoxFuture<'r, Result<Came, Lost>>,
}

/// What came of something under way.
enum Came {
    Answer(Box<(Call, Performed)>),
    /// This is told of events from here on.
    Listening(EffectRef),
}

/// What waits for its time.
struct Aside {
    until: Timestamp,
    what: Sleeping,
}

enum Sleeping {
    Wait(EffectRef),
    /// To be tried again.
    Call(Call),
}

impl Aside {
    fn at(&self) -> &EffectRef {
        match &self.what {
            Sleeping::Wait(at) => at,
            Sleeping::Call(call) => &call.at,
        }
    }
}

/// An event that came for a `listen`.
struct Heard {
    at: EffectRef,
    seq: u64,
    /// The signal's name.
    name: String,
    /// The filter that takes it, and the event.
    taken: Option<(usize, Arc<Value>)>,
}

/// What comes next.
enum Next {
    Came(Came),
    /// The time of this one has come.
    Time(Aside),
    /// This one was told its outcome, by the signal of that number.
    Told(Call, u64, Value),
    /// An event came that is taken.
    Heard(Heard),
    /// This one was told nothing in its time.
    Overdue(Call),
    /// Until a time, or until the run is told something.
    Park(Option<Timestamp>),
    /// A timer that was set for less than the whole wait, the run was told something, or the node stops; look again.
    Again,
    Nothing,
}

impl<'r, 'a> Work<'r, 'a> {
    pub fn new(
        run: &'r Run<'a>,
        machine: Machine,
        asked: Vec<Effect>,
        effects: u64,
        tasks: Option<Tasks>,
    ) -> Self {
        Self {
            run,
            machine,
            asked,
            calls: Vec::new(),
            aside: Vec::new(),
            awaiting: Vec::new(),
            waited: BTreeSet::new(),
            signals: VecDeque::new(),
            seen: 0,
            skipped: BTreeMap::new(),
            effects,
            tasks,
        }
    }

    /// Tells the machine what the journal knows; false if it did not ask for that.
    pub fn replay(&mut self, input: Input) -> bool {
        let place = self.asked.iter().position(|effect| effect.at() == input.at());
        let Some(place) = place else { return false };
        // A `listen` hears more than once.
        if !matches!(input, Input::Heard { .. }) {
            self.asked.remove(place);
        }
        self.advance(input, true);
        true
    }

    /// Goes on until the run is over or has to be put aside.
    pub async fn go(mut self) -> Result<Ending, Lost> {
        let run = self.run;
        loop {
            match self.machine.status() {
                Status::Running => {}
                Status::Completed(output) => {
                    run.end(Outcome::Output(output)).await?;
                    return Ok(Ending::Completed);
                }
                Status::Failed(fault) => return run.fail(fault).await,
            }
            if run.is_stopping() {
                // What is under way comes to its answer; nothing more begins.
                if self.calls.is_empty() {
                    run.journal.save().await?;
                    return Ok(Ending::Stopped);
                }
            } else if !self.begin() {
                // They are asked no more, and one may hold the journal.
                self.calls.clear();
                return run.fail(fault::limit(format!("more than {EFFECTS_MAX} calls and waits"))).await;
            }
            let next = match self.save_much().await? {
                Some(next) => next,
                None => self.next().await?,
            };
            match next {
                Next::Came(Came::Answer(came)) => self.answer(came.0, came.1),
                Next::Came(Came::Listening(at)) => {
                    self.waited.insert(at.clone());
                    self.awaiting.push(Awaiting::events(at));
                }
                Next::Time(aside) => self.wake(aside),
                Next::Told(call, seq, value) => {
                    run.journal.take(seq);
                    let performed = run.told(&call, value);
                    self.answer(call, performed);
                }
                Next::Heard(heard) => self.hear(heard),
                Next::Overdue(call) => self.give_up(call),
                Next::Park(until) => {
                    let seen = (!self.awaiting.is_empty()).then_some(self.seen);
                    run.journal.park(until, seen).await?;
                    return Ok(Ending::Parked(until));
                }
                Next::Again => {}
                Next::Nothing => {
                    return run.fail(Fault::runtime("the flow waits for nothing and is not over")).await;
                }
            }
        }
    }

    /// Begins what was asked for; false if that is too much.
    fn begin(&mut self) -> bool {
        for effect in std::mem::take(&mut self.asked) {
            self.effects += 1;
            match effect {
                Effect::Call { at, step, operation, with } => {
                    self.perform(Call { at, step, operation, with })
                }
                Effect::Wait { at, until } => self.aside.push(Aside { until, what: Sleeping::Wait(at) }),
                Effect::Listen { at, interests } => self.listen(at, interests),
            }
        }
        self.effects <= EFFECTS_MAX
    }

    fn perform(&mut self, call: Call) {
        let (run, at) = (self.run, call.at.clone());
        let future = Box::pin(async move {
            let performed = run.call(&call).await?;
            Ok(Came::Answer(Box::new((call, performed))))
        });
        self.calls.push(UnderWay { at, future });
    }

    fn listen(&mut self, at: EffectRef, interests: Vec<Interest>) {
        let (run, effect) = (self.run, at.clone());
        let future = Box::pin(async move {
            run.listen(&effect, &interests).await?;
            Ok(Came::Listening(effect))
        });
        self.calls.push(UnderWay { at, future });
    }

    /// The call's time is over, and with it what it waited for.
    fn give_up(&mut self, call: Call) {
        let (run, at) = (self.run, call.at.clone());
        let future = Box::pin(async move {
            let performed = run.overdue(&call).await?;
            Ok(Came::Answer(Box::new((call, performed))))
        });
        self.calls.push(UnderWay { at, future });
    }

    /// Makes what is known durable if much is waiting; calls go on meanwhile, since one may hold the journal. What came
    /// first, if that was a call.
    async fn save_much(&mut self) -> Result<Option<Next>, Lost> {
        if !self.run.journal.has_much() {
            return Ok(None);
        }
        let (run, calls) = (self.run, !self.calls.is_empty());
        tokio::select! {
            biased;
            saved = run.journal.save() => saved.map(|()| None),
            came = poll_fn(|cx| self.poll_calls(cx)), if calls => came.map(Some),
        }
    }

    async fn next(&mut self) -> Result<Next, Lost> {
        let node = self.run.node;
        // Whatever is told from here on is noticed.
        let mut told = pin!(node.told.notified());
        if !self.awaiting.is_empty() {
            told.as_mut().enable();
        }
        // Nothing wakes any more while the node stops.
        let stopping = self.run.is_stopping();
        if !stopping && let Some(next) = self.take_signal().await? {
            return Ok(next);
        }
        let waits = if stopping { 0 } else { self.aside.len() };
        let earliest = (0..waits).min_by_key(|place| self.aside[*place].until);
        let overdue = self.awaiting.iter().filter(|_| !stopping).filter_map(|awaiting| awaiting.until).min();
        let until = earliest.map(|place| self.aside[place].until);
        let Some(until) = until.into_iter().chain(overdue).min() else {
            return match (self.calls.is_empty(), self.awaiting.is_empty() || stopping) {
                (true, true) => Ok(Next::Nothing),
                (true, false) => Ok(Next::Park(None)),
                (false, true) => poll_fn(|cx| self.poll_calls(cx)).await,
                (false, false) => {
                    let poll = node.timer.sleep(node.config.poll_interval);
                    tokio::select! {
                        biased;
                        answer = poll_fn(|cx| self.poll_calls(cx)) => answer,
                        () = told => Ok(Next::Again),
                        () = poll => Ok(Next::Again),
                    }
                }
            };
        };
        let now = node.clock.now();
        let wait = until.duration_since(now);
        if !wait.is_positive() {
            let over = |awaiting: &Awaiting| awaiting.until.is_some_and(|until| until <= now);
            return Ok(match earliest.filter(|place| self.aside[*place].until <= now) {
                Some(place) => Next::Time(self.aside.remove(place)),
                None => match self.awaiting.iter().position(over) {
                    Some(place) => self.awaiting.remove(place).call.map_or(Next::Again, Next::Overdue),
                    None => Next::Again,
                },
            });
        }
        if self.calls.is_empty() && wait > node.config.wait_in_place_max {
            return Ok(Next::Park(Some(until)));
        }
        let mut time = wait.min(TIMER_MAX).unsigned_abs();
        if self.awaiting.is_empty() {
            if self.calls.is_empty() {
                self.run.stopped_within(time).await;
                return Ok(Next::Again);
            }
        } else {
            time = time.min(node.config.poll_interval);
        }
        let calls = !self.calls.is_empty();
        let run = self.run;
        tokio::select! {
            biased;
            answer = poll_fn(|cx| self.poll_calls(cx)), if calls => answer,
            () = told => Ok(Next::Again),
            _ = run.stopped_within(time) => Ok(Next::Again),
        }
    }

    /// The next thing that the run was told, for an effect that waits for it.
    async fn take_signal(&mut self) -> Result<Option<Next>, Lost> {
        if self.awaiting.is_empty() {
            return Ok(None);
        }
        loop {
            if let Some(next) = self.take_kept_signal().await? {
                return Ok(Some(next));
            }
            let skips =
                |awaiting: &Awaiting| self.is_ready(awaiting) && self.skipped.contains_key(&awaiting.place);
            if self.awaiting.iter().any(skips) {
                (self.signals, self.skipped, self.seen) = Default::default();
            }
            let Run { node, claim, .. } = *self.run;
            let read = node.read(|| node.store.signals(&claim.workspace, &claim.run, self.seen)).await;
            let read = read.map_err(Lost::Store)?;
            let Some(last) = read.last() else { return Ok(None) };
            self.seen = last.seq.max(self.seen);
            self.skip_signals();
            self.signals.extend(read);
        }
    }

    /// Keeps no more signals that nobody takes yet than one reading brings. The others are read again when their turn has
    /// come; which came first stays the same.
    fn skip_signals(&mut self) {
        let Self { signals, skipped, .. } = self;
        let mut kept = 0;
        signals.retain(|signal| {
            let is_behind = skipped.get(&signal.effect).is_some_and(|first| signal.seq >= *first);
            let keeps = !is_behind && kept < SIGNALS_READ_MAX;
            kept += usize::from(keeps);
            if !keeps {
                skipped.entry(signal.effect.clone()).or_insert(signal.seq);
            }
            keeps
        });
    }

    /// The next thing among what was read.
    async fn take_kept_signal(&mut self) -> Result<Option<Next>, Lost> {
        let mut place = 0;
        while let Some(signal) = self.signals.get(place) {
            let waits = self.awaiting.iter().position(|awaiting| awaiting.place == signal.effect);
            let Some(index) = waits.filter(|index| self.is_ready(&self.awaiting[*index])) else {
                place += 1;
                continue;
            };
            let Some(Signal { seq, name, told, .. }) = self.signals.remove(place) else { continue };
            let at = self.awaiting[index].at.clone();
            match (told, self.awaiting[index].call.is_some()) {
                (Told::Value(value), true) => {
                    let call = self.awaiting.remove(index).call;
                    return Ok(call.map(|call| Next::Told(call, seq, value)));
                }
                // It had found it itself when it was told.
                (Told::Event(_), false) if self.run.history().told.contains(&(at.clone(), name.clone())) => {
                    self.run.journal.take(seq);
                }
                (Told::Event(id), false) => {
                    let event = self.run.event(&id).await?;
                    let connection = |name: &str| self.run.deployed(name);
                    let filter = event.as_ref().and_then(|event| self.machine.hears(&at, event, &connection));
                    return Ok(Some(Next::Heard(Heard { at, seq, name, taken: filter.zip(event) })));
                }
                // Nobody tells that.
                _ => self.run.journal.take(seq),
            }
        }
        Ok(None)
    }

    /// Whether an effect can be told something now. What is done with one event comes before the next.
    fn is_ready(&self, awaiting: &Awaiting) -> bool {
        awaiting.call.is_some() || self.machine.listens(&awaiting.at)
    }

    /// An event that came is told to the machine, if it takes it; in any case it came.
    fn hear(&mut self, heard: Heard) {
        let Heard { at, seq, name, taken } = heard;
        let now = self.run.node.clock.now();
        let (filter, value) = taken.clone().unzip();
        self.run.journal.take(seq);
        self.run.history().told.insert((at.clone(), name.clone()));
        self.run.journal.push(Entry::Heard {
            effect: at.clone(),
            event: name.clone(),
            filter,
            value,
            at: now,
        });
        if let Some((filter, event)) = taken {
            self.run.history().heard.insert(event_of(&name));
            self.advance(Input::Heard { at, filter, event, now }, false);
        }
    }

    /// Polls each call, in the order in which they began. All of them at each turn: there are few, and the order in
    /// which they are asked stays the same.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Lost>> {
        for place in 0..self.calls.len() {
            if let Poll::Ready(answer) = self.calls[place].future.as_mut().poll(cx) {
                drop(self.calls.remove(place));
                return Poll::Ready(answer.map(Next::Came));
            }
        }
        Poll::Pending
    }

    fn answer(&mut self, call: Call, performed: Performed) {
        match performed {
            Performed::Park(until) => self.aside.push(Aside { until, what: Sleeping::Call(call) }),
            Performed::Await { until } => {
                self.waited.insert(call.at.clone());
                self.awaiting.push(Awaiting::call(call, until));
            }
            Performed::Done { result, attempts, started_at } => {
                let Call { at, step, operation, mut with } = call;
                if let Some(arguments) = with.as_object_mut().filter(|_| is_plain(&operation)) {
                    arguments.remove("authentication");
                }
                let mut outcome = result.map_err(|fault| fault.at(&at.path));
                // An answer that cannot be kept is none: the run would come here again and again.
                let bytes = outcome.as_ref().map_or(Ok(0), |output| sized(&with, output));
                if let Err(why) = &bytes {
                    outcome = Err(fault::limit(why.clone()).at(&at.path));
                }
                let now = self.run.node.clock.now();
                let resolved = Entry::Resolved {
                    effect: at.clone(),
                    step,
                    operation,
                    input: with,
                    outcome: outcome.clone().into(),
                    attempts,
                    started_at,
                    at: now,
                };
                self.run.journal.push_result(resolved, bytes.unwrap_or(0));
                self.over(&at);
                self.advance(Input::Resolved { at, outcome, now }, false);
            }
        }
    }

    /// No signal is let through to an effect any more.
    fn over(&mut self, at: &EffectRef) {
        if self.waited.remove(at) {
            self.run.journal.over(at.clone());
        }
    }

    fn wake(&mut self, aside: Aside) {
        match aside.what {
            Sleeping::Call(call) => self.perform(call),
            Sleeping::Wait(at) => {
                let now = self.run.node.clock.now();
                self.run.journal.push(Entry::Elapsed { effect: at.clone(), at: now });
                self.advance(Input::Elapsed { at, now }, false);
            }
        }
    }

    /// Tells the machine something that is in the journal already or is to be, and drops what it awaits no longer.
    fn advance(&mut self, input: Input, durable: bool) {
        let asked = self.machine.advance(input);
        if let Some(tasks) = &mut self.tasks {
            tasks.tell(self.run, self.machine.changes(), durable);
        }
        let mut overtaken = Vec::new();
        let machine = &self.machine;
        let mut awaited = |at: &EffectRef| {
            let awaited = machine.awaits(at);
            if !awaited {
                overtaken.push(at.clone());
            }
            awaited
        };
        self.asked.retain(|effect| awaited(effect.at()));
        self.calls.retain(|call| awaited(&call.at));
        self.aside.retain(|aside| awaited(aside.at()));
        self.awaiting.retain(|awaiting| awaited(&awaiting.at));
        self.asked.extend(asked);
        for at in overtaken {
            self.over(&at);
            self.overtaken(at);
        }
    }

    /// A write that nobody waits for any more, and that may have happened, is noted as such.
    fn overtaken(&self, effect: EffectRef) {
        let Some(attempt) = self.run.history().overtake(&effect) else { return };
        self.run.journal.push(Entry::Attempted {
            effect,
            attempt,
            problem: Fault::communication("the flow went on before the answer came"),
            unknown: true,
            settled: false,
            retry_at: None,
            at: self.run.node.clock.now(),
        });
    }
}

/// How many bytes of JSON an answer has, together with what was asked; or why that cannot be written to the journal.
fn sized(asked: &Value, answer: &Value) -> Result<usize, String> {
    let mut left = Left(RESULT_BYTES_MAX);
    let fits =
        serde_json::to_writer(&mut left, asked).and_then(|()| serde_json::to_writer(&mut left, answer));
    match fits {
        Ok(()) => Ok(RESULT_BYTES_MAX - left.0),
        Err(_) => {
            let most = RESULT_BYTES_MAX >> 20;
            Err(format!(
                "its arguments and its answer are more than {most} MiB as JSON; ask for less of it, or go over it with `page: stream`"
            ))
        }
    }
}

/// Counts what is written to it, up to a limit.
struct Left(usize);

impl std::io::Write for Left {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
