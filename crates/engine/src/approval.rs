//! `call: human.approve`: the run asks, people are told, and it waits to be told what they decided.
//!
//! The question's row is the truth: whatever a crash left undone, the call asked again finds it, and either waits or has
//! the same result. How people are told is in [`crate::notices`].

use flow::approval::{self, Question};
use flow::{ApprovalId, Fault};
use serde_json::Value;
use store::approvals::{Approval, ApprovalStatus, NewApproval};

use crate::effect::{Call, Performed};
use crate::fault;
use crate::journal::Lost;
use crate::notices::Telling;
use crate::run::Run;

impl Run<'_> {
    /// Asks, once, and waits.
    pub async fn ask(&self, call: &Call) -> Result<Performed, Lost> {
        let now = self.node.clock.now();
        let question = match Question::read(&call.with) {
            Ok(question) => question,
            Err(why) => {
                let result = Err(fault::approval_invalid(&why));
                return Ok(Performed::Done { result, attempts: 1, started_at: now });
            }
        };
        // What people decide on is durable, and so is the claim.
        self.journal.save_writes().await?;
        let Question { asked, within, notify } = question;
        let within = within.unwrap_or(approval::WAIT_MAX);
        let new = NewApproval {
            id: self.node.with_rng(|rng| ApprovalId::random(rng)),
            flow: self.claim.flow.clone(),
            step: call.step.clone(),
            asked,
            deadline: now.checked_add(within).ok(),
        };
        let (ws, run, epoch) = (&self.claim.workspace, &self.claim.run, self.claim.epoch);
        let store = &self.node.store;
        self.journal.waits();
        let approval = self.hold(|| store.ask(ws, run, epoch, &call.at, new.clone(), now)).await?;
        if approval.status != ApprovalStatus::Open {
            return Ok(settled(&approval));
        }
        if let Some((operation, with)) = notify
            && approval.told.is_none()
        {
            match self.tell(&approval, &operation, &with).await? {
                Telling::Over(told) => self.hold(|| store.note_told(ws, &approval.id, &told)).await?,
                Telling::Later(again) => {
                    let until = approval.deadline.map_or(again, |deadline| deadline.min(again));
                    return Ok(Performed::Await { until: Some(until) });
                }
            }
        }
        Ok(Performed::Await { until: approval.deadline })
    }

    /// The deadline has passed, unless somebody decided at the last moment.
    pub async fn overdue_approval(&self, call: &Call) -> Result<Performed, Lost> {
        let (store, ws) = (&self.node.store, &self.claim.workspace);
        let found = self.hold(|| store.approval_at(ws, &self.claim.run, &call.at)).await?;
        let Some(found) = found else { return self.ask(call).await };
        let now = self.node.clock.now();
        // What was due is the next go at telling people.
        if found.told.is_none() && found.deadline.is_none_or(|deadline| deadline > now) {
            return self.ask(call).await;
        }
        let approval = self.hold(|| store.expire(ws, &found.id, now)).await?;
        self.node.asked.notify_one();
        Ok(settled(&approval))
    }
}

/// A question that stands no longer, as the result of its call.
fn settled(approval: &Approval) -> Performed {
    let expired = approval.status == ApprovalStatus::Expired;
    let result: Result<Value, Fault> = match &approval.choice {
        Some(choice) => Ok(approval::output(approval.id.as_str(), choice, &approval.decisions, expired)),
        None => Err(fault::approval_expired(&approval.asked.title, approval.decisions.len())),
    };
    Performed::Done { result, attempts: 1, started_at: approval.created_at }
}
