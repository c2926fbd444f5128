//! What the steps of a scenario mean.

use std::sync::Arc;

use connect::plain::{Egress, Request, perform};
use flow::approval::{self, Decision, Question};
use flow::{CloudEvent, Document, Effect, Fault, Input, Machine, RunId, Start, Status};
use jiff::Timestamp;
use serde_json::Value;

use crate::gherkin::{Scenario, Step};
use crate::stand_in::{HOSTS, StandIn, ready};

/// The most effects of a scenario.
const EFFECTS_MAX: usize = 1_000;

#[derive(Default)]
struct Stage {
    text: String,
    /// What is wrong with the flow, by code.
    problems: Vec<String>,
    input: Value,
    /// What comes while the flow listens, in order.
    events: Vec<Value>,
    /// What people decide who are asked, in order.
    decisions: Vec<Decision>,
    /// Flows that the flow may run.
    others: Vec<Arc<Document>>,
    status: Option<Status>,
    /// The tasks that ran, in order.
    order: Vec<String>,
}

pub fn run(scenario: &Scenario) -> Result<(), String> {
    let mut stage = Stage { input: Value::Object(serde_json::Map::new()), ..Stage::default() };
    for step in &scenario.steps {
        stage.step(step).map_err(|why| format!("{}: {why}", step.text))?;
    }
    Ok(())
}

fn yaml(step: &Step) -> Result<Value, String> {
    let text = step.document.as_deref().ok_or("a text must follow")?;
    let node = flow::yaml::parse("text", text).map_err(|problems| format!("{problems:?}"))?;
    Ok(node.to_value())
}

/// The texts between single quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}

impl Stage {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let text = step.text.trim_end_matches(':');
        match text {
            "a workflow with definition" => {
                self.text = step.document.clone().ok_or("a text must follow")?;
                Ok(())
            }
            "the workflow input is" => {
                self.input = yaml(step)?;
                Ok(())
            }
            "a flow with definition" => {
                let text = step.document.as_deref().ok_or("a text must follow")?;
                let other =
                    Document::parse("other.yaml", text).map_err(|problems| format!("{problems:?}"))?;
                self.others.push(Arc::new(other));
                Ok(())
            }
            "these events come" => {
                self.events = yaml(step)?.as_array().cloned().ok_or("a list must follow")?;
                Ok(())
            }
            "these people decide" => {
                let given = yaml(step)?.as_array().cloned().ok_or("a list must follow")?;
                self.decisions = given.iter().map(decision).collect::<Result<_, _>>()?;
                Ok(())
            }
            "the event should start the workflow" => self.starts(true),
            "the event should not start the workflow" => self.starts(false),
            "the workflow is executed" => {
                self.execute();
                Ok(())
            }
            "the workflow should complete" => self.output().map(drop),
            "the workflow should complete with output" => {
                let (output, wanted) = (self.output()?, yaml(step)?);
                if *output == wanted { Ok(()) } else { Err(format!("the output is {output}, not {wanted}")) }
            }
            "the workflow should fault" => self.fault().map(drop),
            "the workflow should fault with error" => {
                let (fault, wanted) = (self.fault()?.to_value(), yaml(step)?);
                let differs = wanted
                    .as_object()
                    .into_iter()
                    .flatten()
                    .find(|(name, value)| fault.get(*name) != Some(value));
                match differs {
                    Some((name, value)) => Err(format!("`{name}` is not {value} in {fault}")),
                    None => Ok(()),
                }
            }
            _ if text.starts_with("the workflow should be refused with") => {
                self.refused(quoted(text).first().copied())
            }
            _ if text.starts_with("the workflow output should have properties") => {
                quoted(text).into_iter().try_for_each(|path| self.property(path).map(drop))
            }
            _ if text.starts_with("the workflow output should have a") => self.one_property(text, step),
            _ => self.order_of(text),
        }
    }

    /// Whether the input, as an event, starts the flow.
    fn starts(&self, wanted: bool) -> Result<(), String> {
        let document = Document::parse("flow.yaml", &self.text).map_err(|found| format!("{found:?}"))?;
        let event: CloudEvent = serde_json::from_value(self.input.clone()).map_err(|why| why.to_string())?;
        let settings =
            document.resolve_settings(&serde_json::Map::new()).map_err(|wrong| wrong.join("; "))?;
        match document.asks_for(&event, &settings, &str::to_owned) == wanted {
            true => Ok(()),
            false => Err(format!("it is the other way round with {}", self.input)),
        }
    }

    fn execute(&mut self) {
        match Document::parse("flow.yaml", &self.text) {
            Ok(document) => {
                let (machine, log) =
                    play(Arc::new(document), self.input.clone(), &self.events, &self.decisions, &self.others);
                self.order = machine.steps().iter().map(|step| step.name.clone()).collect();
                self.status = Some(log.unwrap_or_else(|| machine.status()));
            }
            Err(problems) => {
                self.problems = problems.iter().map(|problem| format!("{} {problem}", problem.code)).collect()
            }
        }
    }

    fn status(&self) -> Result<&Status, String> {
        match &self.status {
            Some(status) => Ok(status),
            None if self.problems.is_empty() => Err("it was not executed".to_owned()),
            None => Err(format!("the flow is refused: {}", self.problems.join("; "))),
        }
    }

    fn output(&self) -> Result<&Value, String> {
        match self.status()? {
            Status::Completed(output) => Ok(output),
            Status::Failed(fault) => Err(format!("it failed: {fault}")),
            Status::Running => Err("it did not end".to_owned()),
        }
    }

    fn fault(&self) -> Result<&Fault, String> {
        match self.status()? {
            Status::Failed(fault) => Ok(fault),
            Status::Completed(output) => Err(format!("it completed with {output}")),
            Status::Running => Err("it did not end".to_owned()),
        }
    }

    fn refused(&self, code: Option<&str>) -> Result<(), String> {
        let code = code.ok_or("a code in quotes must follow")?;
        if self.problems.iter().any(|problem| problem.starts_with(&format!("{code} "))) {
            return Ok(());
        }
        Err(format!("it is not: {:?}", self.problems))
    }

    fn property(&self, path: &str) -> Result<&Value, String> {
        let output = self.output()?;
        let found = path.split('.').try_fold(output, |value, name| value.get(name));
        found.ok_or_else(|| format!("`{path}` is not in {output}"))
    }

    fn one_property(&self, text: &str, step: &Step) -> Result<(), String> {
        let path = *quoted(text).first().ok_or("a name in quotes must follow")?;
        let value = self.property(path)?;
        if text.ends_with("with value") {
            let wanted = yaml(step)?;
            return if *value == wanted { Ok(()) } else { Err(format!("`{path}` is {value}, not {wanted}")) };
        }
        let count = text.split_whitespace().rev().nth(1).and_then(|count| count.parse::<usize>().ok());
        let Some(count) = count.filter(|_| text.contains("containing")) else {
            return Err("this step is not known".to_owned());
        };
        let items = value.as_array().map(Vec::len);
        if items == Some(count) { Ok(()) } else { Err(format!("`{path}` is {value}")) }
    }

    fn order_of(&self, text: &str) -> Result<(), String> {
        self.output()?;
        let place = |name: &str| {
            self.order.iter().position(|task| task == name).ok_or_else(|| format!("`{name}` did not run"))
        };
        let holds = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [name, "should", "run", "first"] => place(name)? == 0,
            [name, "should", "run", "last"] => place(name)? + 1 == self.order.len(),
            [name, "should", "run", "after", other] => place(name)? > place(other)?,
            [name, "should", "not", "run"] => place(name).is_err(),
            _ => return Err("this step is not known".to_owned()),
        };
        if holds { Ok(()) } else { Err(format!("they ran in this order: {:?}", self.order)) }
    }
}

/// Runs a flow to its end: calls are answered by stand-ins; when there are none, the next event comes to whatever listens;
/// the earliest wait ends when nothing else is to be done.
fn play(
    document: Arc<Document>,
    input: Value,
    events: &[Value],
    decisions: &[Decision],
    others: &[Arc<Document>],
) -> (Machine, Option<Status>) {
    let mut now = Timestamp::UNIX_EPOCH;
    let mut decisions = decisions.iter();
    let start = Start {
        document,
        run: RunId::new("run_1"),
        input: Arc::new(input),
        settings: Arc::new(Value::Null),
        started_at: now,
    };
    let (mut machine, mut open) = Machine::start(start);
    let web = StandIn;
    let egress = match Egress::new(HOSTS.iter().map(|host| (*host).to_owned())) {
        Ok(egress) => egress,
        Err(why) => return (machine, Some(Status::Failed(Fault::configuration(why)))),
    };
    let mut events = events.iter();
    for _ in 0..EFFECTS_MAX {
        open.retain(|effect| machine.awaits(effect.at()));
        let listens = |effect: &&Effect| matches!(effect, Effect::Listen { at, .. } if machine.listens(at));
        let waits = open.iter().any(|effect| matches!(effect, Effect::Call { .. }));
        let listening: Vec<_> = open.iter().filter(listens).map(|effect| effect.at().clone()).collect();
        if !waits
            && !listening.is_empty()
            && let Some(event) = events.next()
        {
            for at in listening {
                if let Some(filter) = machine.hears(&at, event, &str::to_owned) {
                    open.extend(machine.advance(Input::Heard {
                        at,
                        filter,
                        event: Arc::new(event.clone()),
                        now,
                    }));
                }
            }
            continue;
        }
        let call = open.iter().position(|effect| matches!(effect, Effect::Call { .. }));
        let until = |place: &usize| match &open[*place] {
            Effect::Wait { until, .. } => *until,
            Effect::Call { .. } => Timestamp::MIN,
            Effect::Listen { .. } => Timestamp::MAX,
        };
        let Some(place) = call.or_else(|| (0..open.len()).min_by_key(until)) else { return (machine, None) };
        let input = match open.remove(place) {
            Effect::Call { at, operation, with, .. } if operation == "run.workflow" => {
                Input::Resolved { at, outcome: run_other(others, &with), now }
            }
            Effect::Call { at, operation, with, .. } if operation == approval::OPERATION => {
                Input::Resolved { at, outcome: decide(&with, &mut decisions), now }
            }
            Effect::Call { at, operation, with, .. } => {
                Input::Resolved { at, outcome: answer(&web, &egress, &operation, with), now }
            }
            Effect::Wait { at, until } => {
                now = now.max(until);
                Input::Elapsed { at, now }
            }
            // Nothing comes any more.
            Effect::Listen { .. } => return (machine, None),
        };
        open.extend(machine.advance(input));
    }
    (machine, None)
}

/// Runs another flow of the scenario to its end.
fn run_other(others: &[Arc<Document>], with: &Value) -> Result<Value, Fault> {
    let other = others.iter().find(|other| Some(other.name()) == with["name"].as_str());
    let other = other.ok_or_else(|| Fault::configuration("there is no such flow"))?;
    match play(other.clone(), with["input"].clone(), &[], &[], others).0.status() {
        Status::Completed(output) => Ok(output),
        Status::Failed(fault) => Err(fault),
        Status::Running => Err(Fault::runtime("it did not end")),
    }
}

/// `{by, choice, comment}`.
fn decision(given: &Value) -> Result<Decision, String> {
    let text = |name: &str| given[name].as_str().map(str::to_owned);
    Ok(Decision {
        by: text("by").ok_or("somebody decides: `by`")?,
        choice: text("choice").ok_or("they decide something: `choice`")?,
        comment: text("comment"),
        at: Timestamp::UNIX_EPOCH,
        via: "api".to_owned(),
        origin: None,
    })
}

/// People decide one after the other, until that decides; if it does not, the deadline passes.
fn decide<'d>(with: &Value, people: &mut impl Iterator<Item = &'d Decision>) -> Result<Value, Fault> {
    let question = Question::read(with).map_err(|why| Fault::coded("approval_invalid", 422, "", &why))?;
    let asked = question.asked;
    let mut decisions: Vec<Decision> = Vec::new();
    while asked.decided(&decisions).is_none() {
        let Some(decision) = people.next() else { break };
        if asked.allows(decision, &decisions).is_ok() {
            decisions.push(decision.clone());
        }
    }
    let (choice, expired) = match asked.decided(&decisions) {
        Some(choice) => (Some(choice), false),
        None => (asked.otherwise.as_deref(), true),
    };
    let late = || Fault::coded("approval_expired", 408, "", "nobody decided in time");
    choice.map(|choice| approval::output("appr_1", choice, &decisions, expired)).ok_or_else(late)
}

/// Starts a program, where the operator of the kit allows every kind of them.
fn started(operation: &str, with: &Value) -> Result<Value, Fault> {
    let container = concat!("container=", env!("CARGO_MANIFEST_DIR"), "/stand-in/docker");
    let allowed: Result<Vec<_>, _> = ["shell", container].map(str::parse).into_iter().collect();
    let programs =
        allowed.and_then(|allowed| script::Programs::new(&allowed, None)).map_err(Fault::configuration)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::runtime(error.to_string()))?;
    runtime.block_on(programs.run(operation, with, "kit"))
}

fn answer(web: &StandIn, egress: &Egress, operation: &str, with: Value) -> Result<Value, Fault> {
    match operation {
        "http" | "openapi" => ready(async {
            let request = Request::prepare(web, egress, operation, &with).await?;
            perform(web, egress, &request, &with).await
        })
        .map_err(|error| {
            let status = error.status.unwrap_or(500);
            Fault { status, ..Fault::communication(error.to_string()) }
        }),
        "script" => script::Task::here(&with),
        "run.shell" | "run.container" => started(operation, &with),
        // An event goes out as it is; an operation of the kit answers with its arguments.
        _ => Ok(with),
    }
}
