//! Recorded real requests are put to the twin: same status; every recorded key is there with the same JSON type,
//! at the version it was recorded at. Null goes with any type; the twin may show more, as Stripe itself does since.
//!
//! The recordings lie outside the project: `TRIBUTARY_RECORDINGS`, or `../shared/recordings` beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use twins::Twin as _;
use twins::stripe::{Config, Stripe};
use twins::wire::Request;

/// Operations that the twin does not offer.
const NOT_OFFERED: [&str; 1] = ["/v1/setup_intents"];

/// What depends on the account's payment methods or on a bank's 3-D Secure, not on the API, and what the recordings'
/// owner masked.
const OF_THE_ACCOUNT: [&str; 4] =
    ["payment_method_options", "use_stripe_sdk", "metadata", "client_<PADDLE_API_KEY>"];

struct Recorded {
    source: String,
    method: String,
    target: String,
    body: String,
    version: String,
    status: u16,
    answer: Value,
}

fn recordings() -> Option<Vec<Recorded>> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/recordings");
    let folder =
        std::env::var_os("TRIBUTARY_RECORDINGS").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let file = folder.join("stripe.jsonl");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("no recordings at {}: shapes are not compared (set TRIBUTARY_RECORDINGS)", file.display());
        return None;
    };
    let read = |line: &str| {
        let one: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version =
            [&one["response"]["headers"]["stripe-version"], &one["request"]["headers"]["stripe-version"]]
                .into_iter()
                .find_map(Value::as_str)
                .unwrap_or("2020-08-27");
        Recorded {
            source: text(&one["source"]),
            method: text(&one["request"]["method"]),
            target: text(&one["request"]["url"]).trim_start_matches("https://api.stripe.com").to_owned(),
            body: text(&one["request"]["body"]),
            version: version.to_owned(),
            status: u16::try_from(one["response"]["status"].as_u64().unwrap()).unwrap(),
            answer: serde_json::from_str(&text(&one["response"]["body"])).unwrap(),
        }
    };
    Some(text.lines().map(read).collect())
}

/// A twin in which all that the recordings name exists once.
struct World {
    twin: Stripe,
    /// By the prefix of its id.
    ids: BTreeMap<&'static str, String>,
}

impl World {
    fn new(one: &Recorded) -> World {
        let twin = Stripe::new(Config::new(1, "2026-01-31T10:00:00Z".parse().unwrap()));
        let mut world = World { twin, ids: BTreeMap::new() };
        for (id, amount, interval) in
            [("small-monthly", 2500, "month"), ("default", 900, "month"), ("small-annual", 25_000, "year")]
        {
            let plan = format!(
                "id={id}&amount={amount}&currency=usd&interval={interval}&product[name]=Small&nickname=S"
            );
            world.post("/v1/plans", &plan);
        }
        world.post("/v1/coupons", "id=10BUCKS&amount_off=1000&currency=usd&duration=forever");
        let customer = world.post("/v1/customers", "email=person%40example.com");
        world.ids.insert("cus_", id(&customer));
        // One recorded customer has no card: that is the point of it.
        if !one.source.contains("no_payment_method") {
            let card =
                world.post("/v1/payment_methods/pm_card_visa/attach", &format!("customer={}", id(&customer)));
            let default = format!("invoice_settings[default_payment_method]={}", id(&card));
            world.post(&format!("/v1/customers/{}", id(&customer)), &default);
            world.ids.insert("pm_", id(&card));
            world.bills(&id(&customer), one);
        }
        world
    }

    fn bills(&mut self, customer: &str, one: &Recorded) {
        let coupon = if one.source.contains("coupon") { "&coupon=10BUCKS" } else { "" };
        let body = format!("customer={customer}&items[0][plan]=small-monthly{coupon}");
        let subscription = self.post("/v1/subscriptions", &body);
        self.ids.insert("sub_", id(&subscription));
        let body = format!(
            "customer={customer}&amount=2900&currency=usd&payment_method=pm_card_authenticationRequired&confirm=true"
        );
        let intent = self.post("/v1/payment_intents", &body);
        self.ids.insert("pi_", id(&intent));
        let body = format!(
            "customer={customer}&amount=2900&currency=usd&payment_method={}&confirm=true&shipping[name]=Ada&shipping[address][city]=Paris",
            self.ids["pm_"]
        );
        let paid = self.post("/v1/payment_intents", &body);
        self.ids.insert("ch_", paid["latest_charge"].as_str().unwrap().to_owned());
        let product = self.post("/v1/products", "name=Setup");
        let price =
            self.post("/v1/prices", &format!("product={}&unit_amount=1000&currency=usd", id(&product)));
        let invoice = self.post("/v1/invoices", &format!("customer={customer}"));
        let body = format!("customer={customer}&invoice={}&pricing[price]={}", id(&invoice), id(&price));
        self.post("/v1/invoiceitems", &body);
        self.ids.insert("in_", id(&invoice));
    }

    fn ask(&self, method: &str, target: &str, body: &str, key: &str, version: &str) -> (u16, Value) {
        let request = Request::new(method, target)
            .with_header("authorization", &format!("Bearer {key}"))
            .with_header("stripe-version", version)
            .with_body(body.to_owned());
        let response = self.twin.handle(&request);
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    fn post(&self, target: &str, body: &str) -> Value {
        let key = self.twin.secret_key();
        let (status, answer) = self.ask("POST", target, body, &key, twins::stripe::API_VERSION);
        assert_eq!(status, 200, "{target} {body}: {answer}");
        answer
    }

    /// Recorded ids become those of this world. What was not found when recorded keeps its name.
    fn named(&self, text: &str, one: &Recorded) -> String {
        if one.status == 404 && text.starts_with("/v1/customers") {
            return text.to_owned();
        }
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(end) = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            named.push_str(&self.name(&rest[..end]));
            named.push_str(&rest[end..=end]);
            rest = &rest[end + 1..];
        }
        named + &self.name(rest)
    }

    fn name(&self, word: &str) -> String {
        let known =
            self.ids.iter().find(|(prefix, _)| word.starts_with(**prefix) && !word.starts_with("pm_card_"));
        // A word such as `sub_total` is no id: ids have digits or capitals.
        let is_id = word.len() > 12 && word.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
        known.filter(|_| is_id).map_or_else(|| word.to_owned(), |(_, id)| id.clone())
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "hash",
    }
}

/// Where the twin's value lacks something of the recorded one, or has another type there.
fn compare(recorded: &Value, shown: &Value, path: &str, problems: &mut Vec<String>) {
    match (recorded, shown) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(wanted), Value::Object(given)) => {
            for (key, value) in wanted.iter().filter(|(key, _)| !OF_THE_ACCOUNT.contains(&key.as_str())) {
                let path = format!("{path}.{key}");
                match given.get(key) {
                    Some(shown) => compare(value, shown, &path, problems),
                    None => problems.push(format!("{path} is missing")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(given)) => {
            if let (Some(wanted), Some(given)) = (wanted.first(), given.first()) {
                compare(wanted, given, &format!("{path}[]"), problems);
            }
        }
        (wanted, given) if kind(wanted) == kind(given) => {}
        (wanted, given) => problems.push(format!("{path} is a {}, not a {}", kind(given), kind(wanted))),
    }
}

#[test]
fn recorded_requests_get_answers_of_the_recorded_shape() {
    let Some(recordings) = recordings() else { return };
    let mut problems = Vec::new();
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for one in recordings.iter().filter(|one| !NOT_OFFERED.iter().any(|path| one.target.starts_with(path))) {
        let world = World::new(one);
        let key = if one.status == 401 { "sk_test_masked".to_owned() } else { world.twin.secret_key() };
        let (target, body) = (world.named(&one.target, one), world.named(&one.body, one));
        let (status, shown) = world.ask(&one.method, &target, &body, &key, &one.version);
        let what = format!("{} {} {target} {body} at {}", one.source, one.method, one.version);
        if status != one.status {
            problems.push(format!("{what}: {status}, recorded {}: {shown}", one.status));
            continue;
        }
        let mut found = Vec::new();
        compare(&one.answer, &shown, "", &mut found);
        for member in ["type", "code", "decline_code", "param"] {
            let (wanted, given) = (&one.answer["error"][member], &shown["error"][member]);
            if wanted != given {
                found.push(format!("error.{member} is {given}, recorded {wanted}"));
            }
        }
        problems.extend(found.into_iter().map(|problem| format!("{what}: {problem}")));
        let object = one.answer["object"].as_str().unwrap_or("error");
        *compared.entry(format!("{object} {}", one.version)).or_default() += 1;
    }
    problems.sort();
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
    for kind in [
        "subscription 2020-08-27",
        "customer 2025-02-24.acacia",
        "invoice 2024-12-18.acacia",
        "payment_intent 2025-03-31.basil",
        "error 2020-08-27",
    ] {
        assert!(compared.contains_key(kind), "no {kind} among {compared:?}");
    }
}
