//! Tokens that a vendor gave and that the store has not taken yet. Nobody else has them, and the ones before may be spent:
//! they are kept here, shown from here, and it is tried again until the store has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use connect::auth::{Granted, Tokens};
use jiff::Timestamp;

use super::{Keeper, Place, new_grant};
use crate::limits::HEALTH_PROBE;

/// Tries that are left when the node stops: a stop waits for so many [`HEALTH_PROBE`]s at most.
const LAST_TRIES: u32 = 10;

/// Of every connection of a node. It lives as long as tokens are lent.
#[derive(Default)]
pub(super) struct Unsaved(Mutex<BTreeMap<Place, Fresh>>);

/// A token, and until when it is good.
pub(super) type Fresh = (Arc<Granted>, Option<Timestamp>);

impl Unsaved {
    pub fn of(&self, place: &Place) -> Option<Fresh> {
        self.lock().get(place).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Fresh>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Stores what the vendor gave in the place of the `n`th. Where the store does not take it now, the tokens are shown
    /// from memory, and stored later.
    pub(super) async fn keep(
        self: Arc<Self>,
        place: Place,
        n: u64,
        tokens: Tokens,
        unsaved: Weak<Unsaved>,
    ) -> Arc<Granted> {
        let granted = Arc::new(tokens.granted(n + 1));
        let Err(error) = self.settle(&place, n, &tokens).await else {
            tracing::info!(connection = %place.name, "access was renewed");
            return granted;
        };
        tracing::error!(connection = %place.name, %error,
            "new tokens are in memory only until the store takes them: do not kill this process");
        if let Some(unsaved) = unsaved.upgrade() {
            unsaved.lock().insert(place.clone(), (granted.clone(), tokens.expires_at));
        }
        tokio::spawn(self.keep_trying(place, n, tokens, unsaved));
        granted
    }

    /// Ends when the store has the tokens, or newer ones; or soon after nobody is lent any more.
    async fn keep_trying(self: Arc<Self>, place: Place, n: u64, tokens: Tokens, unsaved: Weak<Unsaved>) {
        let mut left = LAST_TRIES;
        while left > 0 {
            if unsaved.strong_count() == 0 {
                left -= 1;
            }
            self.timer.sleep(HEALTH_PROBE).await;
            match self.settle(&place, n, &tokens).await {
                Ok(()) => {
                    tracing::info!(connection = %place.name, "the new tokens are stored at last");
                    if let Some(unsaved) = unsaved.upgrade() {
                        unsaved.lock().remove(&place);
                    }
                    return;
                }
                Err(store::Error::Closed) => break,
                Err(error) => {
                    tracing::debug!(connection = %place.name, %error, "new tokens are in memory only")
                }
            }
        }
        tracing::error!(connection = %place.name,
            "new tokens were never stored and are lost: if the vendor takes each refresh token once, somebody has to agree again");
    }

    /// One try. It is settled as well when there is something newer, or no such connection any more.
    async fn settle(&self, place: &Place, n: u64, tokens: &Tokens) -> Result<(), store::Error> {
        let Place { workspace, name } = place;
        let kept = {
            let (grant, now) = (new_grant(tokens), self.clock.now());
            let mut rng = super::Chance(&self.rng);
            self.store.renewed(workspace, name, n, &grant, &mut rng, now).await
        };
        let Err(error) = kept else { return Ok(()) };
        // What is there tells, whatever became of this try.
        match self.store.grant(workspace, name).await {
            Ok(stored) if stored.as_ref().is_none_or(|stored| stored.n != n) => Ok(()),
            _ => Err(error),
        }
    }
}
