//! Reads `run: workflow`.
//!
//! It becomes a call of the operation `run.workflow` with `namespace, name, version, input, await`.

use serde_json::Value;
use std::sync::Arc;

use super::parse::{At, Reader};
use super::task::{Action, Template};

impl<'a> Reader<'a> {
    /// The flow to be run; whether its end is `awaited`.
    pub(super) fn subflow(&mut self, workflow: &At<'a>, awaited: bool) -> Option<Action> {
        self.only(workflow, "`workflow`", &["namespace", "name", "version", "input"], &[]);
        let mut fields = vec![("await".to_owned(), literal(awaited.into()))];
        for name in ["namespace", "name", "version"] {
            match workflow.get(name) {
                Some(field) => {
                    let text = self.literal(&field, &format!("`{name}`"))?;
                    fields.push((name.to_owned(), literal(text.into())));
                }
                None => self.missing(workflow, "`workflow`", name),
            }
        }
        if let Some(input) = workflow.get("input") {
            fields.push(("input".to_owned(), self.template(&input)?));
        }
        Some(Action::Call { operation: "run.workflow".to_owned(), with: Template::Object(fields) })
    }
}

fn literal(value: Value) -> Template {
    Template::Literal(Arc::new(value))
}
