//! What can be wrong with a flow beyond its language: calls of operations that no connector has.

use connect::Catalog;
use flow::{Diagnostic, Document};
use serde_json::json;

use crate::problem::{Code, Problem};

/// The function sets that the engine performs itself.
const BUILT_IN: [&str; 1] = ["revenue"];
/// Mistakes told in a problem's detail; all are in its `diagnostics`.
const TOLD_MAX: usize = 3;

/// A diagnostic for each call that nobody can perform.
pub fn calls(catalog: &Catalog, file: &str, document: &Document) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for call in document.calls() {
        let set = call.operation.split('.').next().unwrap_or_default();
        if BUILT_IN.contains(&set) || catalog.operation(&call.operation).is_some() {
            continue;
        }
        let (message, suggestion) = match catalog.get(set) {
            Some(manifest) => {
                let known = manifest.operations().map(|operation| operation.name.as_str());
                let near = flow::nearest::nearest(&call.operation, known).map(str::to_owned);
                (format!("{} has no operation `{}`", manifest.title, call.operation), near)
            }
            None => {
                let slugs = catalog.slugs().collect::<Vec<_>>().join(", ");
                let near = flow::nearest::nearest(set, catalog.slugs());
                let near = near.map(|slug| call.operation.replacen(set, slug, 1));
                (format!("there is no connector for `{}`; there are: {slugs}", call.operation), near)
            }
        };
        found.push(Diagnostic {
            file: file.to_owned(),
            line: call.line,
            column: call.column,
            path: call.path.clone(),
            code: "operation_unknown".to_owned(),
            message,
            suggestion,
        });
    }
    found
}

/// The diagnostics as one problem.
pub fn problem(found: &[Diagnostic]) -> Problem {
    let mut lines: Vec<String> = found.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if found.len() > TOLD_MAX {
        lines.push(format!("and {} more", found.len() - TOLD_MAX));
    }
    Problem::new(Code::FlowInvalid, lines.join("; ")).with("diagnostics", json!(found))
}
