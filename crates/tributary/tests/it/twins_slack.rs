//! The official client operates the Slack twin.

use std::sync::Arc;

use twins::slack::{Config, Slack};

use crate::clients;

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_posts_edits_and_reads() {
    let slack = Slack::new(Config::new("xoxb-it"));
    let (url, _port) = clients::serve(Arc::new(slack.clone())).await;
    let environment = [("SLACK_URL", url.as_str()), ("SLACK_TOKEN", "xoxb-it")];
    let printed = clients::ensure().await.node("slack.mjs", &environment).await;
    assert!(printed.contains(r#""ok":true"#), "{printed}");
    let texts: Vec<String> = slack.messages().into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["Payment failed: Adam Smith", "second"]);
}
