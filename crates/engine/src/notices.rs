//! How people are told that they are asked: each message once, whatever dies in between, and with buttons where the
//! chat has them.
//!
//! A message is noted before it is sent, and where it stands after that. Whoever finds one that was noted and stands nowhere
//! looks for it first, where the vendor can say; if it can't, people are told twice.

use connect::{Asking, Class, Connection, Idempotency, Manifest, Operation, Prepared};
use flow::WorkspaceId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::approvals::{Approval, ApprovalLink, ApprovalStatus};
use store::notices::{Button, Notice};

use crate::Node;
use crate::alert::fill;
use crate::gate::Urgency;
use crate::journal::Lost;
use crate::limits::{TELL_AFTER, TELL_AGAIN, TELL_AGAIN_MAX, TELL_MAX};
use crate::run::Run;

/// A message to be sent.
struct Message<'a> {
    manifest: &'a Manifest,
    operation: &'a Operation,
    connection: std::sync::Arc<Connection>,
    prepared: Prepared,
    /// How it has buttons, if it has any.
    asking: Option<&'a Asking>,
}

/// How telling people of a question went.
pub enum Telling {
    /// Nothing more is to be done; how it went, in a sentence.
    Over(String),
    /// A vendor is away, or wants a pause: those who are not told yet are told then.
    Later(Timestamp),
}

/// Why somebody was not told.
struct Untold {
    why: String,
    /// When it may go better.
    again: Option<SignedDuration>,
}

impl Untold {
    fn never(why: impl ToString) -> Untold {
        Untold { why: why.to_string(), again: None }
    }
}

impl Run<'_> {
    /// Tells everybody who may decide, and was not told yet.
    pub async fn tell(&self, approval: &Approval, operation: &str, with: &Value) -> Result<Telling, Lost> {
        let (mut failed, mut again) = (Vec::new(), None);
        for (number, who) in self.readers(approval, operation, with).await {
            if let Err(untold) = self.tell_one(approval, (number, who), operation, with).await? {
                let why = untold.why;
                tracing::warn!(approval = %approval.id, run = %approval.run, operation, why, "somebody was not told");
                failed.push(format!("{}: {why}", who.unwrap_or("anybody")));
                again = again.max(untold.again);
            }
        }
        let now = self.node.clock.now();
        let gives_up = approval.created_at.saturating_add(TELL_MAX).unwrap_or(now);
        Ok(match again {
            Some(pause) if now < gives_up => Telling::Later(now.saturating_add(pause).unwrap_or(gives_up)),
            _ if failed.is_empty() => Telling::Over(format!("told by {operation}")),
            _ => Telling::Over(format!("not told by {operation}: {}", failed.join("; "))),
        })
    }

    /// Who gets a message, each with its number, which is the same however many have decided by now. One for all, where
    /// nothing in it is for one of them and who presses a button is known.
    async fn readers<'a>(
        &self,
        approval: &'a Approval,
        operation: &str,
        with: &Value,
    ) -> Vec<(u32, Option<&'a str>)> {
        let assignees = &approval.asked.assignees;
        let personal = ["{who}", "{link}"].iter().any(|word| mentions(with, word));
        if assignees.is_empty() || (!personal && self.has_buttons(operation, with).await) {
            return vec![(0, None)];
        }
        let number = |who: &str| assignees.iter().position(|name| name == who).unwrap_or_default();
        let open = approval.asked.open(&approval.decisions);
        open.map(|who| (u32::try_from(number(who)).unwrap_or_default(), Some(who))).collect()
    }

    async fn has_buttons(&self, operation: &str, with: &Value) -> bool {
        let Some((manifest, operation)) = self.catalog.operation(operation) else { return false };
        let name = with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
        let connection = self.connection(name, manifest).await;
        connection.is_ok_and(|connection| asking(manifest, operation, &connection).is_some())
    }

    async fn tell_one(
        &self,
        approval: &Approval,
        (number, who): (u32, Option<&str>),
        operation: &str,
        with: &Value,
    ) -> Result<Result<(), Untold>, Lost> {
        if self.node.rehearsal.as_ref().is_some_and(|rehearsal| rehearsal.tells(operation, with)) {
            return Ok(Ok(()));
        }
        let message = match self.message(approval, (number, who), operation, with).await {
            Ok(message) => message,
            Err(why) => return Ok(Err(Untold::never(why))),
        };
        let Message { manifest, operation, connection, prepared, asking } = &message;
        let (ws, store) = (&self.claim.workspace, &self.node.store);
        let notice = Notice {
            workspace: ws.clone(),
            approval: approval.id.clone(),
            n: number,
            connection: connection.name.clone(),
            operation: operation.name.clone(),
            find: json!(prepared.lookups),
            place: None,
            open: asking.is_some(),
            due_at: None,
            tries: 0,
        };
        let mut maybe_sent = !self.hold(|| store.begin_notice(&notice)).await?;
        if maybe_sent
            && let Some(known) = self.hold(|| store.notice(ws, &approval.id, number)).await?
            && known.place.is_some()
        {
            return Ok(Ok(()));
        }
        let transport = self.node.gated(ws, connection, manifest, Some(self.held), Urgency::Live);
        let mut last = Untold::never("the node stops");
        for pause in TELL_AFTER {
            if !pause.is_zero() && self.stopped_within(pause).await {
                last.again = Some(TELL_AGAIN);
                break;
            }
            let (asked, now) = (Some(approval.created_at), self.node.clock.now());
            let found = match maybe_sent && is_found(operation) {
                true => {
                    connect::lookup(&transport, connection, manifest, operation, prepared, asked, now).await
                }
                false => Ok(None),
            };
            let sent = match found {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    let sent =
                        connect::perform(&transport, connection, manifest, operation, prepared, now).await;
                    maybe_sent |= sent.as_ref().is_err_and(|error| error.unknown);
                    sent
                }
                Err(error) => Err(error),
            };
            match sent {
                Ok(answer) => {
                    let place = asking.map_or(Value::Null, |asking| asking.place(&answer));
                    self.hold(|| store.notice_sent(ws, &approval.id, number, &place)).await?;
                    return Ok(Ok(()));
                }
                Err(error) => {
                    let error = transport.told(error);
                    let why = error.to_string();
                    let Class::Retry { after } = error.class else { return Ok(Err(Untold::never(why))) };
                    let again = after.unwrap_or(TELL_AGAIN).clamp(TELL_AGAIN, TELL_AGAIN_MAX);
                    last = Untold { why, again: Some(again) };
                    // Coming back before the vendor wants to be asked only shuts it for longer.
                    if after.is_some_and(|after| after > self.node.config.wait_in_place_max) {
                        break;
                    }
                }
            }
        }
        Ok(Err(last))
    }

    async fn message(
        &self,
        approval: &Approval,
        (number, who): (u32, Option<&str>),
        operation: &str,
        with: &Value,
    ) -> Result<Message<'_>, String> {
        let (manifest, operation) = self.catalog.operation(operation).ok_or("there is no such operation")?;
        // What is for several people leads none of them to another one's page.
        let shared = who.is_none() && !approval.asked.assignees.is_empty();
        let link = if shared { self.command(approval) } else { self.link(approval, who) };
        let title = approval.asked.title.as_str();
        let body = approval.asked.body.as_deref().map(|body| format!("\n{body}")).unwrap_or_default();
        let text = if shared { format!("{title}{body}") } else { format!("{title}{body}\n{link}") };
        let words =
            [("text", text.as_str()), ("title", title), ("who", who.unwrap_or_default()), ("link", &link)];
        let mut with = fill(with, &words);
        let name = with.get("connection").and_then(Value::as_str).unwrap_or(&manifest.slug);
        let connection = self.connection(name, manifest).await.map_err(|fault| fault.to_string())?;
        let asking = asking(manifest, operation, &connection);
        if let Some(asking) = asking {
            let choices = self.buttons(approval, number).map_err(|error| error.to_string())?;
            let question = json!({"with": with, "title": title, "body": approval.asked.body, "text": text,
                "note": note(approval), "choices": choices});
            with = asking.message(&question).map_err(|fault| fault.to_string())?;
        }
        let key = format!("{}-{number}", approval.id);
        let prepared =
            connect::prepare(manifest, operation, &with, &key).map_err(|error| error.to_string())?;
        Ok(Message { manifest, operation, connection, prepared, asking })
    }

    fn buttons(&self, approval: &Approval, number: u32) -> store::Result<Vec<Value>> {
        let button = |(n, label): (u32, &String)| {
            let workspace = self.claim.workspace.clone();
            let button = Button { workspace, approval: approval.id.clone(), n: number, choice: n };
            Ok(json!({"n": n, "label": label, "value": self.node.store.sign_button(&button)?}))
        };
        (0..).zip(&approval.asked.choices).map(button).collect()
    }

    /// Where somebody decides; how, where nobody outside reaches this server.
    fn link(&self, approval: &Approval, who: Option<&str>) -> String {
        let Some(base) = &self.node.config.public_url else { return self.command(approval) };
        let link = ApprovalLink {
            workspace: self.claim.workspace.clone(),
            approval: approval.id.clone(),
            who: who.map(str::to_owned),
            until: approval.deadline.unwrap_or(approval.created_at),
        };
        match self.node.store.sign_link(&link) {
            Ok(text) => format!("{}/approve/{text}", base.trim_end_matches('/')),
            Err(_) => self.command(approval),
        }
    }

    fn command(&self, approval: &Approval) -> String {
        format!("tributary approvals show {}", approval.id)
    }
}

/// How a connection's messages by this operation have buttons: where its chat tells of clicks, which takes a secret.
fn asking<'a>(manifest: &'a Manifest, operation: &Operation, connection: &Connection) -> Option<&'a Asking> {
    let asking = manifest.asking().filter(|asking| asking.operation() == operation.name)?;
    let secrets = manifest.webhook()?.secrets(&connection.credentials);
    (!secrets.is_empty()).then_some(asking)
}

/// Whether the vendor can say that a message was sent.
pub fn is_found(operation: &Operation) -> bool {
    matches!(operation.idempotency, Idempotency::Lookup(_) | Idempotency::NaturalKey(_))
}

fn mentions(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text.contains(word),
        Value::Array(items) => items.iter().any(|item| mentions(item, word)),
        Value::Object(members) => members.values().any(|item| mentions(item, word)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What has to be known to decide, beside the question.
fn note(approval: &Approval) -> String {
    let asked = &approval.asked;
    let mut note = match asked.assignees.is_empty() {
        true => "Anybody may decide".to_owned(),
        false => format!("For {} to decide", asked.assignees.join(", ")),
    };
    if asked.needed > 1 {
        let first = asked.choices.first().map(String::as_str).unwrap_or_default();
        note += &format!("; {} must take `{first}`", asked.needed);
    }
    if let Some(requester) = &asked.requester {
        note += &format!("; {requester} asks for it");
    }
    if let Some(deadline) = approval.deadline {
        note += &format!("; until {}", deadline.strftime("%Y-%m-%d %H:%M UTC"));
    }
    note
}

/// What became of a question, in a sentence or two.
pub fn outcome(approval: &Approval) -> String {
    let choice = approval.choice.as_deref();
    let mut outcome = match (approval.status, choice) {
        (ApprovalStatus::Decided, Some(choice)) => format!("Decided: {choice}"),
        (ApprovalStatus::Expired, Some(choice)) => format!("The time to decide is over, {choice} counts"),
        (ApprovalStatus::Expired, None) => "The time to decide is over".to_owned(),
        _ => "This is not asked any more".to_owned(),
    };
    for decision in &approval.decisions {
        let comment = decision.comment.as_ref().map(|comment| format!(" ({comment})"));
        outcome += &format!("\n{}: {}{}", decision.by, decision.choice, comment.unwrap_or_default());
    }
    outcome
}

impl Node {
    /// One attempt at an operation that is no step of a run.
    pub async fn aside(
        &self,
        workspace: &WorkspaceId,
        (manifest, connection): (&Manifest, &Connection),
        (operation, with): (&str, &Value),
        key: &str,
    ) -> Result<Value, connect::Error> {
        let operation = manifest.operation(operation).ok_or_else(|| {
            let detail = format!("there is no operation {operation}");
            connect::Error::of(connect::Class::Fatal, "operation_unknown", detail)
        })?;
        let prepared = connect::prepare(manifest, operation, with, key)?;
        let transport = self.gated(workspace, connection, manifest, None, Urgency::Live);
        let answer =
            connect::perform(&transport, connection, manifest, operation, &prepared, self.clock.now()).await;
        answer.map_err(|error| transport.told(error))
    }
}
