//! The official clients operate the Stripe twin, and its answers have the shapes of recorded ones.

mod shapes;

use std::sync::Arc;

use twins::stripe::{Config, Stripe};

use crate::clients;

/// Where the scripts expect the twin's clock.
const START: &str = "2026-01-31T10:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_operate_and_read_back() {
    let twin = Stripe::new(Config::new(1, START.parse().unwrap()));
    let (url, _port) = clients::serve(Arc::new(twin.clone())).await;
    let clients = clients::ensure().await;
    let key = twin.secret_key();
    let mut environment = vec![("STRIPE_URL", url.as_str()), ("STRIPE_KEY", key.as_str())];
    let made = clients.node("stripe.mjs", &environment).await;
    let made = made.lines().last().unwrap();
    assert!(made.starts_with(r#"{"ok":true"#), "{made}");
    environment.push(("MADE", made));
    let read = clients.python("stripe_read.py", &environment).await;
    assert!(read.contains(r#""ok": true"#), "{read}");

    // What the scripts did, as the oracle sees it: $50 less 12.5 %, then two at $60, then one; canceled.
    let ended = twin.subscriptions().into_iter().next().unwrap();
    let mrr: Vec<i64> = twin
        .mrr_history()
        .into_iter()
        .filter(|change| change.subscription == ended.id)
        .map(|change| change.mrr_cents)
        .collect();
    assert_eq!(mrr, [4375, 10_500, 5250, 0]);
}
