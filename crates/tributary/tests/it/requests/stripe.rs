//! Stripe, beside npm `stripe`.

use std::collections::BTreeSet;

use connect::Location;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, json};

use super::{Case, address, arguments, catalog, compare, path_params};

/// Operations of a sample, which are spread over all of them.
const SAMPLE: usize = 240;
/// What the client offers and a connection's key cannot call: they take another credential.
const ELSEWHERE: [&str; 3] =
    ["POST /oauth/deauthorize", "POST /oauth/token", "POST /v2/billing/meter_event_stream"];

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_those_of_the_official_client() {
    let catalog = catalog();
    let stripe = catalog.get("stripe").unwrap();
    let seed = std::env::var("TRIBUTARY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20261121);
    eprintln!("TRIBUTARY_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all: Vec<_> = stripe.operations().filter(|operation| !operation.is_upsert()).collect();
    let must = [
        "stripe.files.create",
        "stripe.quotes.pdf",
        "stripe.v2.core.accounts.create",
        "stripe.subscriptions.create",
    ];
    let mut sample: Vec<_> = all.iter().filter(|operation| must.contains(&operation.name.as_str())).collect();
    sample.extend(all.sample(&mut rng, SAMPLE - must.len()));
    let file = json!({"data": "AAEC/w0KLS0=", "name": "a \"b\".png", "type": "image/png"});
    let mut cases = Vec::new();
    for operation in sample {
        let ids = path_params(operation).iter().map(|_| arguments::id(&mut rng)).collect();
        let form = !address(operation).contains(" /v2/");
        let mut params = Map::new();
        for param in operation.params.iter().filter(|param| param.location != Location::Path) {
            // A page's size is said, for the client leaves it to Stripe.
            let value = match param.name.as_str() {
                "limit" if operation.paginated() => 100.into(),
                "file" if param.kinds.contains(&connect::Kind::Object) => file.clone(),
                "file_link_data" => json!({"create": true}),
                _ if param.required || rng.random_bool(0.5) => arguments::value(&mut rng, param, form),
                _ => continue,
            };
            params.insert(param.name.clone(), value);
        }
        cases.push(Case { operation, ids, params: params.into() });
    }
    let told = compare(stripe, &cases, "stripe_requests.mjs").await;

    let ours: BTreeSet<String> = all.iter().map(|operation| address(operation)).collect();
    let known = told["known"].as_array().unwrap().iter().map(|known| known.as_str().unwrap());
    let missing: Vec<&str> = known.filter(|known| !ours.contains(*known)).collect();
    assert_eq!(missing, ELSEWHERE, "operations of the client that we lack");
}

#[test]
fn every_type_of_event_can_be_asked_for() {
    let catalog = catalog();
    let types = catalog.get("stripe").unwrap().event_types();
    let snapshots = types.iter().filter(|name| !name.starts_with("v1.") && !name.starts_with("v2.")).count();
    assert!(snapshots >= 275 && types.len() > snapshots, "{snapshots} of {}", types.len());
    for name in ["invoice.paid", "customer.subscription.updated", "v2.core.event_destination.ping"] {
        assert!(types.contains(&name), "{name}");
    }
}
