//! `call: human.approve`: the run asks, people are told, and it waits to be told what they decided.
//!
//! The question's row is the truth: whatever a crash left undone, the call asked again finds it, and either waits or has
//! the same result. People may be told twice, if the node dies before that is noted.

use std::time::Duration;

use flow::approval::{self, Question};
use flow::{ApprovalId, Fault};
use serde_json::Value;
use store::approvals::{Approval, ApprovalLink, ApprovalStatus, NewApproval};

use crate::alert::fill;
use crate::effect::{Call, Performed};
use crate::fault;
use crate::journal::Lost;
use crate::run::Run;

/// Before each attempt to tell somebody.
const TELL_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];

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
            let told = self.tell(&approval, &operation, &with).await;
            self.hold(|| store.note_told(ws, &approval.id, &told)).await?;
        }
        Ok(Performed::Await { until: approval.deadline })
    }

    /// The deadline has passed, unless somebody decided at the last moment.
    pub async fn overdue_approval(&self, call: &Call) -> Result<Performed, Lost> {
        let (store, ws) = (&self.node.store, &self.claim.workspace);
        let found = self.hold(|| store.approval_at(ws, &self.claim.run, &call.at)).await?;
        let Some(found) = found else { return self.ask(call).await };
        let now = self.node.clock.now();
        let approval = self.hold(|| store.expire(ws, &found.id, now)).await?;
        Ok(settled(&approval))
    }

    /// Tells everybody who may decide; how that went, in a sentence.
    async fn tell(&self, approval: &Approval, operation: &str, with: &Value) -> String {
        let people: Vec<Option<&str>> = match approval.asked.assignees.is_empty() {
            true => vec![None],
            false => approval.asked.open(&approval.decisions).map(Some).collect(),
        };
        let mut failed = Vec::new();
        for who in &people {
            // The same for each of them however many have decided by now.
            let number = approval.asked.assignees.iter().position(|name| Some(name.as_str()) == *who);
            let number = number.unwrap_or_default();
            if let Err(why) = self.tell_one(approval, *who, number, operation, with).await {
                tracing::warn!(approval = %approval.id, run = %approval.run, operation, why, "somebody was not told");
                failed.push(format!("{}: {why}", who.unwrap_or("anybody")));
            }
        }
        match failed.is_empty() {
            true => format!("told by {operation}"),
            false => format!("not told by {operation}: {}", failed.join("; ")),
        }
    }

    async fn tell_one(
        &self,
        approval: &Approval,
        who: Option<&str>,
        number: usize,
        operation: &str,
        with: &Value,
    ) -> Result<(), String> {
        let (manifest, operation) = self.catalog.operation(operation).ok_or("there is no such operation")?;
        let link = self.link(approval, who);
        let title = approval.asked.title.as_str();
        let body = approval.asked.body.as_deref().map(|body| format!("\n{body}")).unwrap_or_default();
        let text = format!("{title}{body}\n{link}");
        let words =
            [("text", text.as_str()), ("title", title), ("who", who.unwrap_or_default()), ("link", &link)];
        let with = fill(with, &words);
        let name = with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
        let connection = self.connection(name, manifest).await.map_err(|fault| fault.to_string())?;
        let key = format!("{}-{number}", approval.id);
        let prepared =
            connect::prepare(manifest, operation, &with, &key).map_err(|error| error.to_string())?;
        let mut last = String::new();
        for pause in TELL_AFTER {
            if !pause.is_zero() && self.stopped_within(pause).await {
                break;
            }
            let (transport, now) = (self.node.transport.as_ref(), self.node.clock.now());
            match connect::perform(transport, &connection, manifest, operation, &prepared, now).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    /// Where somebody decides; how, where nobody outside reaches this server.
    fn link(&self, approval: &Approval, who: Option<&str>) -> String {
        let command = || format!("tributary approvals show {}", approval.id);
        let Some(base) = &self.node.config.public_url else { return command() };
        let link = ApprovalLink {
            workspace: self.claim.workspace.clone(),
            approval: approval.id.clone(),
            who: who.map(str::to_owned),
            until: approval.deadline.unwrap_or(approval.created_at),
        };
        match self.node.store.sign_link(&link) {
            Ok(text) => format!("{}/approve/{text}", base.trim_end_matches('/')),
            Err(_) => command(),
        }
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
