//! Search over customers: `email:"x" AND metadata["k"]:"v"`, `OR`, `-` for not, `~` for part of.

use serde_json::{Value, json};

use super::errors::Error;
use super::model::Customer;
use super::router::Call;

const LIMIT_DEFAULT: i64 = 10;
const LIMIT_MAX: i64 = 100;

#[derive(Debug, PartialEq)]
struct Clause {
    negated: bool,
    field: String,
    operator: String,
    value: String,
}

/// Clauses joined by `AND` or by `OR`, not both.
#[derive(Debug, PartialEq)]
struct Query {
    all: bool,
    clauses: Vec<Clause>,
}

fn unquote(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let inner = inner.or_else(|| text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')));
    inner.unwrap_or(text).to_owned()
}

/// Splits on blanks outside of quotes.
fn words(query: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in query.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn parse(query: &str) -> Result<Query, Error> {
    let wrong = |detail: &str| {
        Error::invalid(format!("We were unable to parse your search query: {detail}")).at("query")
    };
    let words = words(query);
    let (ands, ors) = (words.iter().any(|word| word == "AND"), words.iter().any(|word| word == "OR"));
    if ands && ors {
        return Err(wrong("AND and OR can't be combined"));
    }
    let mut clauses = Vec::new();
    for word in words.iter().filter(|word| *word != "AND" && *word != "OR") {
        let (negated, text) = word.strip_prefix('-').map_or((false, word.as_str()), |rest| (true, rest));
        // The operator stands after the closing bracket of `metadata["key"]`.
        let from = text.find(']').unwrap_or(0);
        let at = text[from..].find([':', '~', '<', '>']).map(|at| at + from);
        let at = at.ok_or_else(|| wrong(text))?;
        let length = if text[at + 1..].starts_with('=') { 2 } else { 1 };
        clauses.push(Clause {
            negated,
            field: text[..at].to_owned(),
            operator: text[at..at + length].to_owned(),
            value: unquote(&text[at + length..]),
        });
    }
    if clauses.is_empty() { Err(wrong("it is empty")) } else { Ok(Query { all: !ors, clauses }) }
}

fn matches(clause: &Clause, customer: &Customer) -> Result<bool, Error> {
    let unsupported = || {
        let message =
            format!("Field `{}` is an unsupported search field for resource `customers`.", clause.field);
        Error::invalid(message).at("query")
    };
    if clause.field == "created" {
        let time: i64 = clause.value.parse().map_err(|_| Error::integer("query", &clause.value))?;
        return Ok(match clause.operator.as_str() {
            ">" => customer.created > time,
            ">=" => customer.created >= time,
            "<" => customer.created < time,
            "<=" => customer.created <= time,
            _ => customer.created == time,
        });
    }
    let value = match clause.field.as_str() {
        "email" => customer.email.clone(),
        "name" => customer.name.clone(),
        "phone" => customer.phone.clone(),
        field => {
            let key = field
                .strip_prefix("metadata[")
                .and_then(|key| key.strip_suffix(']'))
                .ok_or_else(unsupported)?;
            customer.metadata.get(&unquote(key)).cloned()
        }
    };
    let value = value.unwrap_or_default().to_lowercase();
    let wanted = clause.value.to_lowercase();
    Ok(if clause.operator == "~" { value.contains(&wanted) } else { value == wanted })
}

pub(super) fn customers(call: &mut Call) -> Result<Value, Error> {
    let query = parse(&call.params.need("query")?)?;
    let limit = call.params.int("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let from: usize = match call.params.string("page")? {
        Some(page) => page.parse().map_err(|_| Error::invalid("Invalid page token.").at("page"))?,
        None => 0,
    };
    call.params.done()?;
    let mut hits = Vec::new();
    for (_, customer) in call.world.customers.all().rev().filter(|(_, customer)| !customer.deleted) {
        let mut verdicts = Vec::with_capacity(query.clauses.len());
        for clause in &query.clauses {
            verdicts.push(matches(clause, customer)? != clause.negated);
        }
        if if query.all { verdicts.iter().all(|hit| *hit) } else { verdicts.contains(&true) } {
            hits.push(customer.clone());
        }
    }
    let end = (from + usize::try_from(limit).unwrap_or(1)).min(hits.len());
    let has_more = end < hits.len();
    let data: Vec<Value> = hits.into_iter().take(end).skip(from).map(|hit| call.render(hit)).collect();
    Ok(json!({
        "object": "search_result",
        "data": data,
        "has_more": has_more,
        "next_page": has_more.then(|| end.to_string()),
        "url": "/v1/customers/search",
    }))
}
