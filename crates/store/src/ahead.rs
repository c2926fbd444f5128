//! What the events of one batch mean to each other: they are decided on the same reading, before any of them is
//! written.
//!
//! | an earlier event of the batch | this one | holds only if |
//! |---|---|---|
//! | goes to the same lane | is decided as it would be alone | the earlier one is dispatched: lanes go in order |
//! | tells the same fact | is a duplicate fact | the fact is told by then |
//! | starts a run in the same lane of a state flow | joins that run | nobody has claimed it |
//! | opens a window, adds to it, or ends it | finds it so | it is so by then |
//!
//! Where it does not hold, this event conflicts as well, and both are decided again in their order.

use flow::{EventId, Mode, RunId, WorkspaceId};
use std::collections::{BTreeMap, BTreeSet};

use crate::unit::values;
use crate::windows::Open;
use crate::{Dispatch, Dispatching, Error, FlowOutcome, Result, Unit};

/// Nothing, while an event waits.
const AFTER: &str = "SELECT 1 AS gone WHERE NOT EXISTS (SELECT 1 FROM events \
    WHERE workspace = ?1 AND id = ?2 AND status = 'accepted')";

/// A lane, or a fact, of a flow.
type Place = (WorkspaceId, String, String);

/// What the events of a batch that were decided already are about to do.
#[derive(Default)]
pub(crate) struct Ahead {
    /// The last event that goes to a lane.
    lanes: BTreeMap<Place, EventId>,
    facts: BTreeSet<Place>,
    /// Runs of state flows that are about to be created.
    unclaimed: BTreeMap<Place, RunId>,
    /// Windows as they are about to be; `None`: ended.
    windows: BTreeMap<Place, Option<Open>>,
}

impl Ahead {
    /// Has the unit of an event fail while an earlier event of one of its lanes waits.
    pub fn after(&mut self, mut unit: Unit, dispatching: &Dispatching) -> Unit {
        let mut before = BTreeSet::new();
        for place in lanes(dispatching) {
            before.extend(self.lanes.insert(place, dispatching.event.clone()));
        }
        for event in before {
            unit = unit.one(AFTER, values![&dispatching.workspace, &event]);
        }
        unit
    }

    /// Whether an earlier event tells this fact; else this one does.
    pub fn tells(&mut self, ws: &WorkspaceId, flow: &str, fact: &str) -> bool {
        !self.facts.insert((ws.clone(), flow.to_owned(), fact.to_owned()))
    }

    /// A window as earlier events leave it; the outer `None` if they leave it as it was found.
    pub fn window(&self, ws: &WorkspaceId, flow: &str, place: &str) -> Option<Option<Open>> {
        self.windows.get(&(ws.clone(), flow.to_owned(), place.to_owned())).cloned()
    }

    /// An event leaves a window like this.
    pub fn leaves(&mut self, ws: &WorkspaceId, flow: &str, place: &str, open: Option<Open>) {
        self.windows.insert((ws.clone(), flow.to_owned(), place.to_owned()), open);
    }

    /// The run of a state flow that an earlier event is about to create in the lane.
    pub fn unclaimed(&self, ws: &WorkspaceId, dispatch: &Dispatch) -> Option<RunId> {
        self.unclaimed.get(&latest(ws, dispatch)?).cloned()
    }

    /// An event is about to create a run.
    pub fn creates(&mut self, ws: &WorkspaceId, dispatch: &Dispatch) {
        if let Some(place) = latest(ws, dispatch) {
            self.unclaimed.insert(place, dispatch.run.clone());
        }
    }
}

fn latest(ws: &WorkspaceId, dispatch: &Dispatch) -> Option<Place> {
    let lane = dispatch.lane.clone().filter(|_| dispatch.mode == Mode::Latest)?;
    Some((ws.clone(), dispatch.flow.clone(), lane))
}

/// The lanes that an event goes to.
fn lanes(dispatching: &Dispatching) -> impl Iterator<Item = Place> {
    let sound = dispatching.flows.iter().filter(|dispatch| dispatch.fault.is_none());
    sound.filter_map(|dispatch| {
        let lane = dispatch.lane.clone()?;
        Some((dispatching.workspace.clone(), dispatch.flow.clone(), lane))
    })
}

/// Which events of a batch are to be decided now: those that were overtaken, and not those of which an earlier one of
/// their lanes could not be written.
pub(crate) fn overtaken(dispatchings: &[Dispatching], results: &[Result<Vec<FlowOutcome>>]) -> Vec<usize> {
    let mut closed: BTreeSet<Place> = BTreeSet::new();
    let mut overtaken = Vec::new();
    for (index, (dispatching, result)) in dispatchings.iter().zip(results).enumerate() {
        let waits = match result {
            Err(Error::Conflict { .. }) => lanes(dispatching).any(|place| closed.contains(&place)),
            Err(error) => error.passes() || matches!(error, Error::Unsettled | Error::Closed),
            Ok(_) => false,
        };
        if waits {
            closed.extend(lanes(dispatching));
        } else if matches!(result, Err(Error::Conflict { .. })) {
            overtaken.push(index);
        }
    }
    overtaken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_looks_at_a_whole_table() {
        crate::database::check_plan(AFTER);
    }

    fn dispatching(event: &str, lanes: &[&str]) -> Dispatching {
        let flows = lanes.iter().enumerate().map(|(n, lane)| Dispatch {
            run: RunId::new(format!("run_{event}_{n}")),
            flow: format!("f{n}"),
            revision: 1,
            lane: Some((*lane).into()),
            mode: Mode::Queue,
            on_failure: crate::OnFailure::Continue,
            fact: None,
            window: None,
            fault: None,
        });
        Dispatching {
            workspace: WorkspaceId::default(),
            event: EventId::new(event),
            flows: flows.collect(),
            answers: Vec::new(),
        }
    }

    #[test]
    fn what_could_not_be_written_is_not_overtaken() {
        let conflict = || Err(Error::Conflict { what: "it" });
        let full = || Err(Error::Full("it"));
        let refused = || Err(Error::Refused("it".into()));
        let batch = [
            dispatching("e0", &["a", "x"]),
            dispatching("e1", &["b", "y"]),
            dispatching("e2", &["a", "y"]),
            dispatching("e3", &["c", "y"]),
            dispatching("e4", &["a", "z"]),
        ];
        let cases = [
            ([conflict(), Ok(vec![]), conflict(), conflict(), conflict()], vec![0, 2, 3, 4]),
            // e2 waits for e0, and e3 for e2.
            ([full(), Ok(vec![]), conflict(), conflict(), conflict()], vec![]),
            ([Ok(vec![]), full(), Ok(vec![]), conflict(), conflict()], vec![4]),
            ([refused(), Ok(vec![]), conflict(), Ok(vec![]), Ok(vec![])], vec![2]),
        ];
        for (results, expected) in cases {
            assert_eq!(overtaken(&batch, &results), expected, "{results:?}");
        }
    }
}
