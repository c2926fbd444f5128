//! Which tasks of a list are never reached.

use super::task::{Action, Task, Tasks, Then};

/// The positions of tasks that nothing leads to.
pub fn unreached(tasks: &[Task]) -> Vec<usize> {
    let mut reached = vec![false; tasks.len()];
    let mut open = vec![0];
    while let Some(position) = open.pop() {
        match reached.get_mut(position) {
            Some(seen @ false) => *seen = true,
            _ => continue,
        }
        let Some(task) = tasks.get(position) else { continue };
        let next = |then: Then| match then {
            Then::Continue => Some(position + 1),
            Then::Task(target) => Some(target),
            Then::Exit | Then::End => None,
        };
        // A task whose `if` does not hold is passed by.
        open.extend(task.when.is_some().then_some(position + 1));
        match &task.action {
            Action::Raise(_) => {}
            Action::Switch(cases) => {
                open.extend(cases.iter().filter_map(|case| next(case.then)));
                if cases.iter().all(|case| case.when.is_some()) {
                    open.extend(next(task.then));
                }
            }
            Action::Try(attempt) => {
                if !never_ends(&attempt.tasks) {
                    open.extend(next(task.then));
                }
                open.extend(attempt.catch.then.map_or_else(|| next(task.then), next));
            }
            Action::Do(tasks) if never_ends(tasks) => {}
            _ => open.extend(next(task.then)),
        }
    }
    (0..tasks.len()).filter(|position| !reached[*position]).collect()
}

/// Whether a list that is entered always fails or ends the run: what follows its task is not reached. Only what is
/// plain to see: its first tasks up to one that raises or ends, without a way around it.
fn never_ends(tasks: &Tasks) -> bool {
    for task in tasks.iter() {
        if task.when.is_some() {
            return false;
        }
        match (&task.action, task.then) {
            (Action::Raise(_), _) => return true,
            (Action::Set(_) | Action::Call { .. } | Action::Wait(_), Then::End) => return true,
            (Action::Set(_) | Action::Call { .. } | Action::Wait(_), Then::Continue) => {}
            _ => return false,
        }
    }
    false
}
