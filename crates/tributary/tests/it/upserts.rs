//! Records made as they are wanted, at the simulated vendors.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use twins::chartmogul::{self, ChartMogul};
use twins::stripe::{self, Stripe};

use crate::app::{TestApp, event, open};
use crate::approvals::ended;

const KEY: &str = "cm_test_0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn what_differs_and_is_owned_is_written_and_nothing_else() {
    let now = Timestamp::from_second(1_767_225_600).expect("a time");
    let analytics = ChartMogul::new(chartmogul::Config::new(KEY, 7, now));
    let config = stripe::Config::new(7, now);
    let key = config.secret_key.clone();
    let billing = Stripe::new(config);
    let (analytics, billing) = (open(Arc::new(analytics)).await, open(Arc::new(billing)).await);
    let app = TestApp::start().await;
    let path = app.connect("stripe").await;
    let body = json!({"connector": "chartmogul", "base_url": analytics, "live": false, "credentials": {"api_key": KEY}});
    app.put("/v1/connections/chartmogul", body).await.expect(201);
    let body = json!({"connector": "stripe", "base_url": billing, "credentials": {"api_key": key}});
    app.put("/v1/connections/billing", body).await.expect(201);
    let flow = "document: {dsl: '1.0.3', namespace: test, name: upserts, version: '1.0.0'}
schedule: {on: {one: {with: {source: stripe, type: stripe.invoice.paid}}}}
do:
  - source: {call: chartmogul.data_sources.create, with: {connection: chartmogul, name: Test}}
  - ledger:
      call: data.map
      with:
        items: |
          ${ [{name: \"Ada\", company: \"Acme\", country: \"US\"}, {name: \"Ada\", company: \"Other\"},
              {name: \"Ada Smith\", company: \"Other\", fields: {owned: [\"name\"]}}, {name: \"Ada Smith\", country: \"US\"}] }
        concurrency: 1
        call: chartmogul.customers.upsert
        with:
          connection: chartmogul
          data_source_uuid: ${ $steps.source.uuid }
          external_id: cus_1
          name: ${ $item.name }
          company: ${ $item.company }
          country: ${ $item.country }
          fields: ${ $item.fields }
  - billing:
      call: data.map
      with:
        items: |
          ${ [{metadata: {plan: \"free\", kept: \"yes\"}}, {metadata: {plan: \"pro\"}}, {metadata: {plan: \"pro\"}, description: \"\"}] }
        concurrency: 1
        call: stripe.customers.upsert
        with:
          connection: billing
          email: ada@example.com
          name: Ada
          metadata: ${ $item.metadata }
          description: ${ $item.description }
  - told:
      set:
        ledger: '${ [$steps.ledger[] | [.outcome, .changed]] }'
        billing: '${ [$steps.billing[] | [.outcome, .changed]] }'
        customer: '${ $steps.ledger[3].record | {name, company, country} }'
        metadata: '${ $steps.billing[2].record.metadata }'
";
    app.post("/v1/flows", json!({"text": flow})).await.expect(201);
    app.deliver_signed(&path, &event("evt_1", "invoice.paid", json!({"id": "in_1"}))).await.expect(200);
    let run = ended(&app).await;
    let expected = json!({
        "ledger": [["created", ["name", "company", "country"]], ["updated", ["company"]], ["updated", ["name"]], ["unchanged", []]],
        "billing": [["created", ["name", "metadata"]], ["updated", ["metadata"]], ["unchanged", []]],
        "customer": {"name": "Ada Smith", "company": "Other", "country": "US"},
        "metadata": {"plan": "pro", "kept": "yes"},
    });
    assert_eq!(run["output"], expected, "{run}");
    app.stop().await;
}
