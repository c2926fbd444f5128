//! What a person would do on the first day: connect three accounts, install three templates, register the webhook.

use anyhow::Context as _;
use serde_json::{Value, json};
use twins::stripe::Endpoint;

use super::server::Server;
use super::world::{CHARTMOGUL_KEY, SLACK_SIGNING_SECRET, SLACK_TOKEN, World};
use crate::client::Client;

/// The flows under demonstration: F1, F2, F3.
const TEMPLATES: [(&str, &[&str]); 3] = [
    ("stripe-to-chartmogul", &["stripe", "chartmogul"]),
    ("stripe-customer-to-chartmogul", &["stripe", "chartmogul"]),
    ("failed-payment-alert", &["stripe", "chartmogul", "slack"]),
];

/// Everything is connected.
pub struct Ready {
    pub server: Client,
    pub endpoint: Endpoint,
    /// Addresses and keys of server and twins: the `addresses` of the JSON document.
    pub addresses: Value,
}

/// Connects the accounts and installs the templates.
pub async fn connect(server: &Server, world: &World) -> anyhow::Result<Ready> {
    let line = server.ready();
    let token = std::fs::read_to_string(&line.token_file).context("the server's token")?.trim().to_owned();
    let client = Client::Socket(line.socket.clone());

    let stripe = json!({"connector": "stripe", "live": false, "base_url": world.stripe_url,
        "credentials": {"api_key": world.stripe_key}});
    let stripe = client.put("/v1/connections/stripe", stripe).await?;
    let path = stripe["hook"]["path"].as_str().context("the Stripe connection has no hook")?;
    let hook = format!("{}{path}", line.url);
    let endpoint = world.stripe.create_endpoint(&hook, &["*"], None);
    let secret = json!({"connector": "stripe", "live": false, "base_url": world.stripe_url,
        "credentials": {"api_key": world.stripe_key, "webhook_secret": endpoint.secret}});
    client.put("/v1/connections/stripe", secret).await?;

    let chartmogul = json!({"connector": "chartmogul", "live": false, "base_url": world.chartmogul_url,
        "credentials": {"api_key": CHARTMOGUL_KEY}});
    client.put("/v1/connections/chartmogul", chartmogul).await?;
    let slack = json!({"connector": "slack", "live": false, "base_url": world.slack_url,
        "credentials": {"token": SLACK_TOKEN, "signing_secret": SLACK_SIGNING_SECRET}});
    let slack = client.put("/v1/connections/slack", slack).await?;
    let path = slack["hook"]["path"].as_str().context("the Slack connection has no hook")?;
    world.slack.listen(&format!("{}{path}", line.url), SLACK_SIGNING_SECRET);
    world.slack.reached_at(&world.slack_url);

    for name in ["stripe", "chartmogul", "slack"] {
        let checked = client.post(&format!("/v1/connections/{name}/check"), json!({})).await?;
        anyhow::ensure!(
            checked["ok"] == json!(true),
            "the connection {name} does not work: {}",
            checked["detail"]
        );
    }
    for (slug, uses) in TEMPLATES {
        let connections: Value = uses.iter().map(|name| ((*name).to_owned(), json!(name))).collect();
        let body = json!({"settings": {}, "connections": connections});
        client.post(&format!("/v1/templates/{slug}/install"), body).await?;
    }
    let addresses = json!({
        "server": line.url, "server_token": token, "hook": hook,
        "stripe": world.stripe_url, "stripe_key": world.stripe_key, "stripe_webhook_secret": endpoint.secret,
        "chartmogul": world.chartmogul_url, "chartmogul_key": CHARTMOGUL_KEY,
        "slack": world.slack_url, "slack_token": SLACK_TOKEN,
    });
    Ok(Ready { server: client, endpoint, addresses })
}
