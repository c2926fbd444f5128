//! The official clients operate the ChartMogul twin, and its answers have the shapes of recorded ones.

mod shapes;
mod world;

use std::sync::Arc;

use twins::chartmogul::{ChartMogul, Config};

use crate::clients;

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_write_and_read() {
    let twin = ChartMogul::new(Config::new("cm_it", 1, "2026-01-15T00:00:00Z".parse().unwrap()));
    let (url, _port) = clients::serve(Arc::new(twin.clone())).await;
    let environment = [("CHARTMOGUL_URL", url.as_str()), ("CHARTMOGUL_KEY", "cm_it")];
    let clients = clients::ensure().await;
    let printed = clients.node("chartmogul.mjs", &environment).await;
    assert!(printed.contains(r#""ok":true"#), "{printed}");
    let printed = clients.python("chartmogul_client.py", &environment).await;
    assert!(printed.contains(r#""ok": true"#), "{printed}");

    let from = "2026-01-01T00:00:00Z".parse().unwrap();
    let report = twin.report(from, twin.now());
    assert_eq!(report.customers["cus_1"]["USD"], 8_000);
    let by_kind: Vec<i64> = ["new_business", "expansion", "contraction", "churn", "reactivation"]
        .map(|kind| report.movements.total_cents[kind])
        .to_vec();
    assert_eq!(by_kind, [6_100, 3_000, 0, -1_100, 0]);
}
