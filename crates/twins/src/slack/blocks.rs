//! What Slack refuses of blocks.

use serde_json::Value;

/// Blocks of a message at most.
const BLOCKS_MAX: usize = 50;
/// Elements of one `actions` block at most.
const ELEMENTS_MAX: usize = 25;
/// Characters of texts at most.
const SECTION_MAX: usize = 3_000;
const HEADER_MAX: usize = 150;
const BUTTON_MAX: usize = 75;
const VALUE_MAX: usize = 2_000;
const ACTION_ID_MAX: usize = 255;

/// # Errors
/// `invalid_blocks`, as Slack has it for everything.
pub fn check(blocks: &[Value]) -> Result<(), &'static str> {
    let fine = blocks.len() <= BLOCKS_MAX && blocks.iter().all(block) && distinct(blocks);
    if fine { Ok(()) } else { Err("invalid_blocks") }
}

fn block(block: &Value) -> bool {
    let Some(kind) = block["type"].as_str() else { return false };
    match kind {
        "section" => {
            let texts = block["text"].is_object() || block["fields"].is_array();
            texts && (block["text"].is_null() || text(&block["text"], SECTION_MAX, false))
        }
        "header" => text(&block["text"], HEADER_MAX, true),
        "actions" => {
            let elements = block["elements"].as_array();
            elements.is_some_and(|all| (1..=ELEMENTS_MAX).contains(&all.len()) && all.iter().all(element))
        }
        "context" => block["elements"].as_array().is_some_and(|all| (1..=10).contains(&all.len())),
        _ => true,
    }
}

/// A text object: its length, and whether markup is refused.
fn text(text: &Value, max: usize, plain: bool) -> bool {
    let kind = text["type"].as_str();
    let kinds = kind == Some("plain_text") || (kind == Some("mrkdwn") && !plain);
    kinds && text["text"].as_str().is_some_and(|text| (1..=max).contains(&text.chars().count()))
}

fn element(element: &Value) -> bool {
    if element["type"] != "button" {
        return element["type"].is_string();
    }
    let within = |member: &str, max: usize| match &element[member] {
        Value::Null => true,
        Value::String(text) => text.chars().count() <= max,
        _ => false,
    };
    let styles = element["style"].is_null() || element["style"] == "primary" || element["style"] == "danger";
    text(&element["text"], BUTTON_MAX, true)
        && within("value", VALUE_MAX)
        && within("action_id", ACTION_ID_MAX)
        && styles
}

/// No two blocks share an id, nor do two elements of a block.
fn distinct(blocks: &[Value]) -> bool {
    let unlike = |ids: Vec<&str>| (1..ids.len()).all(|n| !ids[..n].contains(&ids[n]));
    let ids = |all: &'_ [Value], name: &str| -> bool {
        unlike(all.iter().filter_map(|one| one[name].as_str()).collect())
    };
    ids(blocks, "block_id")
        && blocks.iter().filter_map(|one| one["elements"].as_array()).all(|all| ids(all, "action_id"))
}
