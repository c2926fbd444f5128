//! A flow's mistakes as a refusal.

use flow::Diagnostic;
use serde_json::json;

use crate::problem::{Code, Problem};

/// Mistakes told in a problem's detail; all are in its `diagnostics`.
const TOLD_MAX: usize = 3;

/// The diagnostics as one problem.
pub fn problem(found: &[Diagnostic]) -> Problem {
    let mut lines: Vec<String> = found.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if found.len() > TOLD_MAX {
        lines.push(format!("and {} more", found.len() - TOLD_MAX));
    }
    Problem::new(Code::FlowInvalid, lines.join("; ")).with("diagnostics", json!(found))
}
