//! Tells the app what people did.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Outgoing, Slack};
use crate::webhook::{Endpoint as _, HttpEndpoint, Reply};

/// Posts what happens in a twin to the app's address.
pub struct Post {
    slack: Slack,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Post {
    /// Nothing is sent before [`Post::turn`]. `clock` is the wall clock.
    pub fn new(slack: Slack, clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Post {
        Post { slack, clock }
    }

    /// Sends everything that happened since the last turn, each once: what an app does not take, Slack shows to whoever
    /// pressed. Answers how it went, one by one.
    pub async fn turn(&self) -> Vec<Result<Reply, String>> {
        let mut replies = Vec::new();
        for outgoing in self.slack.outgoing() {
            replies.push(deliver(&outgoing, &self.clock).await);
        }
        replies
    }
}

/// Sends one thing once; more often, it is what Slack sends again.
///
/// # Errors
/// Why there is no answer.
pub async fn deliver(
    outgoing: &Outgoing,
    clock: &Arc<dyn Fn() -> Timestamp + Send + Sync>,
) -> Result<Reply, String> {
    let address = outgoing.url.parse::<hyper::Uri>().map_err(|error| error.to_string())?;
    let now = Arc::clone(clock);
    let endpoint = HttpEndpoint::new(address, move || now());
    endpoint.post(outgoing.headers(endpoint.now()), outgoing.body.clone()).await
}
