//! What a claimed run does at the same time: its calls under way, and what waits for its time.
//!
//! | there is | then |
//! |---|---|
//! | a call under way | whichever comes first: its answer, or the time of the earliest wait |
//! | only waits, the earliest soon | that one, in place |
//! | only waits, all late | the run is put aside until the earliest |
//! | the node stops | calls under way come to their answers, then the run is let go of |
//!
//! The machine is told results in the order in which they are entered in the journal, one at a time. What it awaits no
//! longer (a timeout came, another branch won) is dropped; a write that was under way then may have happened.

use std::future::poll_fn;
use std::task::{Context, Poll};

use connect::BoxFuture;
use flow::journal::{Entry, Outcome};
use flow::{Effect, EffectRef, Fault, Input, Machine, Status};
use jiff::{SignedDuration, Timestamp};

use crate::effect::{Call, Performed};
use crate::fault;
use crate::journal::Lost;
use crate::limits::EFFECTS_MAX;
use crate::plain::is_plain;
use crate::run::{Ending, Run};

/// A timer beside calls is set no further than this, and then set again.
const TIMER_MAX: SignedDuration = SignedDuration::from_hours(1);

pub struct Work<'r, 'a> {
    run: &'r Run<'a>,
    machine: Machine,
    /// Asked for and not begun.
    asked: Vec<Effect>,
    calls: Vec<UnderWay<'r>>,
    aside: Vec<Aside>,
    /// Effects begun, over all claims.
    effects: u64,
}

/// A call that is being performed.
struct UnderWay<'r> {
    at: EffectRef,
    future: BoxFuture<'r, Result<(Call, Performed), Lost>>,
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

/// What comes next.
enum Next {
    Answer(Call, Performed),
    /// The time of this one has come.
    Time(Aside),
    Park(Timestamp),
    /// A timer that was set for less than the whole wait, or the node stops; look again.
    Again,
    Nothing,
}

impl<'r, 'a> Work<'r, 'a> {
    pub fn new(run: &'r Run<'a>, machine: Machine, asked: Vec<Effect>, effects: u64) -> Self {
        Self { run, machine, asked, calls: Vec::new(), aside: Vec::new(), effects }
    }

    /// Tells the machine what the journal knows; false if it did not ask for that.
    pub fn replay(&mut self, input: Input) -> bool {
        let (Input::Resolved { at, .. } | Input::Elapsed { at, .. }) = &input;
        let Some(place) = self.asked.iter().position(|effect| effect.at() == at) else { return false };
        self.asked.remove(place);
        self.advance(input);
        true
    }

    /// Goes on until the run is over or has to be put aside.
    pub async fn go(mut self) -> Result<Ending, Lost> {
        let run = self.run;
        loop {
            match self.machine.status() {
                Status::Running => {}
                Status::Completed(output) => {
                    run.journal.finish(Outcome::Output(output)).await?;
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
                return run.fail(fault::limit(format!("more than {EFFECTS_MAX} calls and waits"))).await;
            }
            run.journal.save_much().await?;
            match self.next().await? {
                Next::Answer(call, performed) => self.answer(call, performed),
                Next::Time(aside) => self.wake(aside),
                Next::Park(until) => {
                    run.journal.park(until).await?;
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
            }
        }
        self.effects <= EFFECTS_MAX
    }

    fn perform(&mut self, call: Call) {
        let (run, at) = (self.run, call.at.clone());
        let future = Box::pin(async move {
            let performed = run.call(&call).await?;
            Ok((call, performed))
        });
        self.calls.push(UnderWay { at, future });
    }

    async fn next(&mut self) -> Result<Next, Lost> {
        let node = self.run.node;
        // Nothing wakes any more while the node stops.
        let waits = if self.run.is_stopping() { 0 } else { self.aside.len() };
        let earliest = (0..waits).min_by_key(|place| self.aside[*place].until);
        let Some(place) = earliest else {
            if self.calls.is_empty() {
                return Ok(Next::Nothing);
            }
            return poll_fn(|cx| self.poll_calls(cx)).await;
        };
        let until = self.aside[place].until;
        let wait = until.duration_since(node.clock.now());
        if !wait.is_positive() {
            return Ok(Next::Time(self.aside.remove(place)));
        }
        if self.calls.is_empty() {
            if wait > node.config.wait_in_place_max {
                return Ok(Next::Park(until));
            }
            if self.run.stopped_within(wait.unsigned_abs()).await {
                return Ok(Next::Again);
            }
            return Ok(Next::Time(self.aside.remove(place)));
        }
        let timer = node.timer.sleep(wait.min(TIMER_MAX).unsigned_abs());
        tokio::select! {
            biased;
            answer = poll_fn(|cx| self.poll_calls(cx)) => answer,
            () = timer => Ok(Next::Again),
        }
    }

    /// Polls each call, in the order in which they began. All of them at each turn: there are few, and the order in
    /// which they are asked stays the same.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, Lost>> {
        for place in 0..self.calls.len() {
            if let Poll::Ready(answer) = self.calls[place].future.as_mut().poll(cx) {
                drop(self.calls.remove(place));
                return Poll::Ready(answer.map(|(call, performed)| Next::Answer(call, performed)));
            }
        }
        Poll::Pending
    }

    fn answer(&mut self, call: Call, performed: Performed) {
        match performed {
            Performed::Park(until) => self.aside.push(Aside { until, what: Sleeping::Call(call) }),
            Performed::Done { result, attempts, started_at } => {
                let Call { at, step, operation, mut with } = call;
                if let Some(arguments) = with.as_object_mut().filter(|_| is_plain(&operation)) {
                    arguments.remove("authentication");
                }
                let outcome = result.map_err(|fault| fault.at(&at.path));
                let now = self.run.node.clock.now();
                self.run.journal.push(Entry::Resolved {
                    effect: at.clone(),
                    step,
                    operation,
                    input: with,
                    outcome: outcome.clone().into(),
                    attempts,
                    started_at,
                    at: now,
                });
                self.advance(Input::Resolved { at, outcome, now });
            }
        }
    }

    fn wake(&mut self, aside: Aside) {
        match aside.what {
            Sleeping::Call(call) => self.perform(call),
            Sleeping::Wait(at) => {
                let now = self.run.node.clock.now();
                self.run.journal.push(Entry::Elapsed { effect: at.clone(), at: now });
                self.advance(Input::Elapsed { at, now });
            }
        }
    }

    /// Tells the machine something, and drops what it awaits no longer.
    fn advance(&mut self, input: Input) {
        let asked = self.machine.advance(input);
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
        self.asked.extend(asked);
        for at in overtaken {
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
