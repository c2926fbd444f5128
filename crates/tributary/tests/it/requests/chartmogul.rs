//! ChartMogul, beside npm `chartmogul-node`: every operation that it has.

use connect::Location;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::{Case, arguments, catalog, compare, path_params};

/// The client asks for an address without a slash before it, which leads nowhere.
const BROKEN_THERE: &str = "chartmogul.invoices.delete_all";

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_those_of_the_official_client() {
    let catalog = catalog();
    let chartmogul = catalog.get("chartmogul").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_121);
    let mut cases = Vec::new();
    for operation in
        chartmogul.operations().filter(|operation| operation.name != BROKEN_THERE && !operation.is_upsert())
    {
        let ids = path_params(operation).iter().map(|_| "cus_1-2".to_owned()).collect();
        let (mut query, mut body) = (Map::new(), Map::new());
        for param in operation.params.iter().filter(|param| param.location != Location::Path) {
            let value = match param.name.as_str() {
                "per_page" => 200.into(),
                "invoices" if param.required => {
                    json!([{"external_id": "in_1", "line_items": [{"amount_in_cents": 1}]}])
                }
                _ if param.required || rng.random_bool(0.6) => arguments::value(&mut rng, param, false),
                _ => continue,
            };
            match param.location {
                Location::Query => drop(query.insert(param.name.clone(), unbracketed(value))),
                _ => drop(body.insert(param.name.clone(), value)),
            }
        }
        let mut params = json!({});
        for (name, part) in [("query", query), ("body", body)] {
            if !part.is_empty() {
                params[name] = part.into();
            }
        }
        cases.push(Case { operation, ids, params });
    }
    let told = compare(chartmogul, &cases, "chartmogul_requests.mjs").await;
    let known = told["known"].as_array().unwrap().iter().map(|known| known.as_str().unwrap());
    let lacking: Vec<&str> =
        known.filter(|name| chartmogul.operation(&format!("chartmogul.{name}")).is_none()).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

/// Its client encodes brackets in a query, ours leaves them: both are read the same.
fn unbracketed(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('[') => "a, b".into(),
        other => other,
    }
}
