//! What vendors granted to connections, kept in the store and renewed there by one node at a time.
//!
//! | a token is needed and | then |
//! |---|---|
//! | the one at hand is good | it is shown, and nobody is asked |
//! | the stored one is good (another node renewed it) | that one |
//! | nobody renews it | a renewal is begun in the store, then the vendor is asked, then the answer is stored |
//! | somebody renews it | it is waited for |
//! | the vendor refused to renew it a moment ago | that refusal ([`refusal`]) |
//! | this node has a newer one that the store has not taken yet | that one |
//!
//! The old refresh token stays until the new one is durable. A vendor that takes each of them once, and whose answer was
//! lost with a node, refuses the old one: the error then says that, and that somebody has to agree again. A renewal goes on
//! when the call that wanted it is given up, and what it brought is stored as soon as the store takes it ([`unsaved`]), so
//! that no answer is lost that way.

mod refusal;
mod unsaved;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use connect::auth::{Access, Grant, Granted, Lender, Tokens};
use connect::{BoxFuture, Catalog, Class, Connection, Error, Transport};
use flow::WorkspaceId;
use flow::chance::Rng;
use flow::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use store::{NewGrant, Secrets, Store};

use crate::Timer;
use unsaved::Unsaved;

/// For a renewal, from its beginning in the store to the answer there: above what a request for a token may take.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// Between two looks at whether another one has renewed it.
const LOOK: Duration = Duration::from_millis(200);
/// Looks at most: above the lease, so that who waits for a dead node takes over.
const LOOKS_MAX: u32 = 350;
/// Renewals because the vendor refused a token that seemed good, in so long: more of them mend nothing, and each ends the
/// token that others show.
const REFUSALS_MAX: usize = 3;
const REFUSALS_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Everything that renewing takes.
pub struct Keeper {
    pub store: Store,
    pub catalog: Arc<Catalog>,
    pub transport: Arc<dyn Transport>,
    pub clock: Arc<dyn Clock>,
    pub timer: Arc<dyn Timer>,
    pub rng: Arc<Mutex<Box<dyn Rng>>>,
}

impl Keeper {
    /// Lends the tokens of connections to whoever calls with them.
    pub fn lender(self: Arc<Self>) -> Lender {
        let unsaved = Arc::new(Unsaved::default());
        Arc::new(move |workspace, connection| {
            let grant = self.catalog.get(&connection.connector)?.grant()?.clone();
            let name = connection.name.clone();
            let place = Place { workspace: workspace.clone(), name };
            let (keeper, unsaved) = (self.clone(), unsaved.clone());
            Some(Arc::new(Kept {
                keeper,
                grant,
                place,
                unsaved,
                kept: Mutex::default(),
                refusals: Mutex::default(),
            }))
        })
    }

    async fn renew(
        self: Arc<Self>,
        grant: Arc<Grant>,
        place: Place,
        connection: Connection,
        unsaved: Weak<Unsaved>,
    ) -> Result<Arc<Granted>, Error> {
        // As it is now that nobody else renews it.
        let held = self.store.grant(&place.workspace, &place.name).await;
        let gone = || passing(format!("connection `{}` was removed", place.name));
        let held = held.map_err(|error| unavailable(&error))?.ok_or_else(gone)?;
        let (turn, cut_off, tokens) = (held.turn(), held.unanswered > 1, tokens_of(&held));
        let Place { workspace, name } = &place;
        let asked = match self.present(&place, connection).await {
            Ok(connection) => {
                grant.renew(&*self.transport, &connection, tokens.as_ref(), self.clock.now()).await
            }
            Err(error) => Err(error),
        };
        match asked {
            Ok(tokens) => Ok(self.keep(place, turn, tokens, unsaved).await),
            Err(error) => {
                let error = if cut_off && error.code == "grant_refused" { lost(error) } else { error };
                // An answer that never came may have spent the refresh token; who was not asked says nothing about it.
                let answered = !error.unknown && (error.status.is_some() || !cut_off);
                let now = self.clock.now();
                let before = held.problem;
                let problem =
                    refusal::noted(&error, before.as_ref().map(|(problem, _)| problem.as_str()), now);
                let back = self.store.not_renewed(workspace, name, turn, &problem, answered, now).await;
                if let Err(failed) = back {
                    tracing::warn!(connection = %name, error = %failed, "a renewal is given back by its lease only");
                }
                tracing::warn!(connection = %name, %error, "access was not renewed");
                Err(Error { unknown: false, ..error })
            }
        }
    }

    /// The connection as it is stored now: whoever asks may have opened it before its credentials were changed.
    async fn present(&self, place: &Place, connection: Connection) -> Result<Connection, Error> {
        let stored = self.store.connection(&place.workspace, &place.name).await;
        let stored = stored.map_err(|error| unavailable(&error))?;
        let gone = || passing(format!("connection `{}` was removed", place.name));
        let present = crate::connections::connection(stored.ok_or_else(gone)?);
        let present = present.map_err(|fault| passing(fault.detail))?;
        Ok(Connection { access: connection.access, ..present })
    }
}

/// A connection's place in the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    workspace: WorkspaceId,
    name: String,
}

/// What one opened connection was granted.
struct Kept {
    keeper: Arc<Keeper>,
    grant: Arc<Grant>,
    place: Place,
    unsaved: Arc<Unsaved>,
    kept: Mutex<Option<(Arc<Granted>, Option<Timestamp>)>>,
    /// When it was renewed because the vendor refused the one before.
    refusals: Mutex<Vec<Timestamp>>,
}

impl Access for Kept {
    fn token<'a>(
        &'a self,
        connection: &'a Connection,
        refused: Option<&'a Granted>,
    ) -> BoxFuture<'a, Result<Arc<Granted>, Error>> {
        Box::pin(self.good(connection, refused.map(|refused| refused.n)))
    }
}

impl Kept {
    async fn good(&self, connection: &Connection, refused: Option<u64>) -> Result<Arc<Granted>, Error> {
        let Kept { keeper, place: Place { workspace, name }, .. } = self;
        if let Some(granted) = self.at_hand(refused) {
            return Ok(granted);
        }
        // One of a node looks and renews; the others find what it found.
        let turn = self.unsaved.turn(&self.place);
        let _turn = turn.lock().await;
        if let Some(granted) = self.at_hand(refused) {
            return Ok(granted);
        }
        for _ in 0..LOOKS_MAX {
            if let Some((granted, end)) = self.unsaved.of(&self.place) {
                if refused == Some(granted.n) || !good_until(end, keeper.clock.now()) {
                    let detail =
                        "what the vendor granted last is not stored yet, and can be renewed only then";
                    return Err(passing(detail.to_owned()));
                }
                return Ok(granted);
            }
            let stored = keeper.store.grant(workspace, name).await.map_err(|error| unavailable(&error))?;
            let now = keeper.clock.now();
            if let Some(stored) = &stored
                && refused != Some(stored.n)
                && let Some(tokens) = tokens_of(stored).filter(|tokens| tokens.good_at(now))
            {
                return Ok(self.keep(tokens.granted(stored.n), tokens.expires_at));
            }
            if let Some(refusal) = stored.as_ref().and_then(|stored| refusal::standing(stored, now)) {
                return Err(refusal);
            }
            if self.grant.asks_a_person()
                && stored.as_ref().and_then(tokens_of).is_none_or(|tokens| tokens.refresh.is_none())
            {
                return Err(self.nobody_agreed(stored.as_ref()));
            }
            let n = stored.as_ref().map_or(0, |stored| stored.n);
            if refused == Some(n)
                && self.refusals(now).len() >= REFUSALS_MAX
                && let Some(tokens) = stored.as_ref().and_then(tokens_of).filter(|tokens| tokens.good_at(now))
            {
                return Ok(Arc::new(tokens.granted(n)));
            }
            match keeper.store.begin_renewal(workspace, name, n, LEASE, now).await {
                Ok(()) => {
                    if refused == Some(n) {
                        self.refusals(now).push(now);
                    }
                    let renewal = keeper.clone().renew(
                        self.grant.clone(),
                        self.place.clone(),
                        connection.clone(),
                        Arc::downgrade(&self.unsaved),
                    );
                    let renewed = tokio::spawn(renewal).await;
                    let renewed = renewed.map_err(|_| passing("the renewal broke off".to_owned()))??;
                    // The store knows until when it is good; the next request asks there.
                    return Ok(renewed);
                }
                Err(store::Error::Conflict { .. }) => keeper.timer.sleep(LOOK).await,
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Err(passing("another node renews the token, and takes too long".to_owned()))
    }

    /// Those that count still.
    fn refusals(&self, now: Timestamp) -> MutexGuard<'_, Vec<Timestamp>> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|at| now.duration_since(*at).abs() < REFUSALS_FOR);
        refusals
    }

    fn at_hand(&self, refused: Option<u64>) -> Option<Arc<Granted>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What was refused is shown to nobody else.
        kept.take_if(|(granted, _)| refused == Some(granted.n));
        let (granted, end) = kept.as_ref()?;
        good_until(*end, self.keeper.clock.now()).then(|| granted.clone())
    }

    fn keep(&self, granted: Granted, end: Option<Timestamp>) -> Arc<Granted> {
        let granted = Arc::new(granted);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((granted.clone(), end));
        granted
    }

    fn nobody_agreed(&self, stored: Option<&store::Grant>) -> Error {
        let name = &self.place.name;
        let why = match stored {
            Some(stored) if stored.tokens.is_some() => {
                "what was agreed to is over, and the vendor gave nothing to renew it by"
            }
            Some(stored) if stored.n > 0 => "it was changed since somebody agreed to it",
            _ => "nobody has agreed to it yet",
        };
        let detail =
            format!("connection `{name}`: {why}. `tributary connection authorize {name}` asks for it");
        failed(Class::Auth, "grant_missing", detail)
    }
}

/// As [`Tokens::good_at`] has it.
fn good_until(end: Option<Timestamp>, now: Timestamp) -> bool {
    end.is_none_or(|end| end > now)
}

/// A source of randomness that is locked for each use only, so that it can be held across an await.
struct Chance<'a>(&'a Mutex<Box<dyn Rng>>);

impl Rng for Chance<'_> {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

/// Tokens as the store keeps them.
pub fn new_grant(tokens: &Tokens) -> NewGrant {
    NewGrant {
        tokens: Secrets::new(tokens.secrets()),
        scopes: tokens.scopes.clone(),
        expires_at: tokens.expires_at,
    }
}

fn tokens_of(stored: &store::Grant) -> Option<Tokens> {
    let secrets = stored.tokens.as_ref()?;
    let get = |name: &str| secrets.get(name).map(str::to_owned);
    Some(Tokens::of(get, stored.expires_at, stored.scopes.clone()))
}

/// The vendor takes the refresh token no more, and the answer to the renewal before was lost.
fn lost(error: Error) -> Error {
    let detail = format!(
        "{}. The node stopped during the renewal before this one: if the vendor takes each refresh token once, its answer \
         was lost then",
        error.detail
    );
    Error { code: "grant_lost".to_owned(), detail, ..error }
}

fn unavailable(error: &store::Error) -> Error {
    passing(format!("what was granted cannot be read or stored: {error}"))
}

fn passing(detail: String) -> Error {
    failed(Class::Retry { after: None }, "grant_unavailable", detail)
}

fn failed(class: Class, code: &str, detail: String) -> Error {
    Error { class, status: None, code: code.to_owned(), detail, body: None, unknown: false }
}
