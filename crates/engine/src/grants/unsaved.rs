//! Tokens that a vendor gave and that the store has not taken yet. Nobody else has them, and the ones before may be spent:
//! they are kept here, shown from here, and it is tried again until the store has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use connect::auth::{Granted, Tokens};
use jiff::Timestamp;
use store::Turn;

use super::{Keeper, Place, new_grant};
use crate::limits::HEALTH_PROBE;

/// Tries that are left when the node stops: a stop waits for so many [`HEALTH_PROBE`]s at most.
const LAST_TRIES: u32 = 10;

/// Of every connection of a node. It lives as long as tokens are lent.
#[derive(Default)]
pub(super) struct Unsaved {
    fresh: Mutex<BTreeMap<Place, Fresh>>,
    turns: Mutex<BTreeMap<Place, Arc<tokio::sync::Mutex<()>>>>,
}

/// A token, and until when it is good.
pub(super) type Fresh = (Arc<Granted>, Option<Timestamp>);

impl Unsaved {
    pub fn of(&self, place: &Place) -> Option<Fresh> {
        self.lock().get(place).cloned()
    }

    /// Whoever needs a token that is not at hand takes turns.
    pub fn turn(&self, place: &Place) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(place.clone()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Fresh>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    /// Stores what the vendor gave in the place of what there was. Where the store does not take it now, the tokens are shown
    /// from memory, and stored later.
    pub(super) async fn keep(
        self: Arc<Self>,
        place: Place,
        turn: Turn,
        tokens: Tokens,
        unsaved: Weak<Unsaved>,
    ) -> Arc<Granted> {
        let granted = Arc::new(tokens.granted(turn.n + 1));
        let error = match self.settle(&place, turn, &tokens).await {
            Ok(settled) => {
                settled.tell(&place);
                return granted;
            }
            Err(error) => error,
        };
        tracing::error!(connection = %place.name, %error,
            "new tokens are in memory only until the store takes them: do not kill this process");
        if let Some(unsaved) = unsaved.upgrade() {
            unsaved.lock().insert(place.clone(), (granted.clone(), tokens.expires_at));
        }
        tokio::spawn(self.keep_trying(place, turn, tokens, unsaved));
        granted
    }

    /// Ends when the store has the tokens, or newer ones; or soon after nobody is lent any more.
    async fn keep_trying(self: Arc<Self>, place: Place, turn: Turn, tokens: Tokens, unsaved: Weak<Unsaved>) {
        let mut left = LAST_TRIES;
        while left > 0 {
            if unsaved.strong_count() == 0 {
                left -= 1;
            }
            self.timer.sleep(HEALTH_PROBE).await;
            match self.settle(&place, turn, &tokens).await {
                Ok(settled) => {
                    settled.tell(&place);
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
    async fn settle(&self, place: &Place, turn: Turn, tokens: &Tokens) -> Result<Settled, store::Error> {
        let Place { workspace, name } = place;
        let kept = {
            let (grant, now) = (new_grant(tokens), self.clock.now());
            let mut rng = super::Chance(&self.rng);
            self.store.renewed(workspace, name, turn, &grant, &mut rng, now).await
        };
        let Err(error) = kept else { return Ok(Settled::Stored) };
        // What is there tells, whatever became of this try.
        match self.store.grant(workspace, name).await {
            Ok(Some(stored)) if is_same(&stored, tokens) => Ok(Settled::Stored),
            Ok(None) => Ok(Settled::Overtaken),
            Ok(Some(stored)) if stored.n != turn.n || stored.begun < turn.begun => Ok(Settled::Overtaken),
            _ => Err(error),
        }
    }
}

/// What became of tokens.
enum Settled {
    Stored,
    /// Something newer is there, or the connection is not there any more: nobody needs them.
    Overtaken,
}

impl Settled {
    fn tell(&self, place: &Place) {
        let connection = &place.name;
        match self {
            Settled::Stored => tracing::info!(connection, "access was renewed"),
            Settled::Overtaken => tracing::warn!(
                connection,
                "new tokens were not stored: the connection was changed, let in anew or removed meanwhile"
            ),
        }
    }
}

/// Whether a try whose outcome nobody knew had stored just these.
fn is_same(stored: &store::Grant, tokens: &Tokens) -> bool {
    let new = new_grant(tokens).tokens;
    let same = |stored: &store::Secrets| stored.iter().eq(new.iter());
    stored.tokens.as_ref().is_some_and(same)
}
