//! Where the database is, and how a session there begins. Nothing here ever tells the password.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use url::Url;

use super::committer::is_of_the_values;
use super::session::Session;
use super::text::LeaseClock;
use super::tls::Tls;
use crate::{Error, Result};

/// The oldest PostgreSQL that is known to do: 14.
const OLDEST: u32 = 140_000;
/// One attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// After a failed attempt nobody tries again before this; doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// What every session is set to. Every statement has an index to go by and touches few rows, so a plan is made once, and
/// never by a scan or a hash of a table that happened to be small then. The time-outs end what hangs and what a dead node left open.
const SETTINGS: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; \
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SET lock_timeout = '15s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'; \
    SET default_transaction_isolation = 'read committed'; SET synchronous_commit = on; SET client_min_messages = warning";
/// Bodies are compressed in a tenth of the time, where this server was built with it.
const COMPRESSION: &str = "SELECT set_config(name, 'lz4', false) FROM pg_settings \
    WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";
/// History's sessions find its tables under the names of the hot ones.
const HISTORY: &str = "SET search_path = tributary_history";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Hot,
    History,
}

/// A database server.
pub(super) struct Server {
    config: Config,
    tls: Option<Tls>,
    /// For people: host, port, database and user.
    pub place: String,
    pub clock: LeaseClock,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    until: Option<Instant>,
    pause: Duration,
    why: String,
}

impl Server {
    /// Reads `postgres://user:password@host:port/database?sslmode=require&sslrootcert=FILE`.
    pub fn new(url: &str, node: &str, clock: LeaseClock) -> Result<Self> {
        // The parser's own messages could quote the address, and the password with it.
        let refused = || {
            Error::Refused(
                "the database's address is not understood; it looks like postgres://user:password@host:5432/database"
                    .into(),
            )
        };
        let mut url = Url::parse(url).map_err(|_| refused())?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refused());
        }
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let given =
            |name: &str| pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let encrypted = match given("sslmode").as_deref() {
            None | Some("disable" | "allow" | "prefer") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            Some(other) => {
                return Err(Error::Refused(format!("sslmode={other}: it is `disable` or `require`")));
            }
        };
        let authorities = given("sslrootcert").map(PathBuf::from);
        // What is left stays as it is written.
        let rest: Vec<&str> = url
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| {
                !pair.is_empty() && !pair.starts_with("sslmode=") && !pair.starts_with("sslrootcert=")
            })
            .collect();
        let rest = rest.join("&");
        url.set_query((!rest.is_empty()).then_some(&rest));
        let mut config: Config = url.as_str().parse().map_err(|_| refused())?;
        config
            .ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable })
            .connect_timeout(CONNECT)
            .tcp_user_timeout(Duration::from_secs(20))
            .keepalives_idle(Duration::from_secs(20))
            .application_name(format!("tributary {node}"));
        let tls = encrypted.then(|| Tls::new(authorities.as_deref())).transpose()?;
        Ok(Self { place: place(&config), config, tls, clock, waiting: Mutex::default() })
    }

    /// Begins a session, unless an attempt failed a moment ago.
    pub async fn connect(&self, purpose: Purpose) -> Result<Session> {
        {
            let waiting = self.waiting();
            if waiting.until.is_some_and(|until| Instant::now() < until) {
                return Err(Error::Unavailable(waiting.why.clone()));
            }
        }
        // Longer than its own time-out: a server that accepts and then says nothing has one as well.
        let begun = match tokio::time::timeout(CONNECT * 2, self.begin(purpose)).await {
            Ok(begun) => begun,
            Err(_) => Err(Error::Unavailable(format!("{}: no answer within {CONNECT:?}", self.place))),
        };
        let mut waiting = self.waiting();
        match &begun {
            Ok(_) => *waiting = Waiting::default(),
            Err(error) => {
                waiting.pause = (waiting.pause * 2).clamp(PAUSE.0, PAUSE.1);
                waiting.until = Some(Instant::now() + waiting.pause);
                waiting.why = error.to_string();
            }
        }
        begun
    }

    async fn begin(&self, purpose: Purpose) -> Result<Session> {
        let failed = |error| self.refused(&error);
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
        };
        client.batch_execute(SETTINGS).await.map_err(failed)?;
        client.batch_execute(COMPRESSION).await.map_err(failed)?;
        if purpose == Purpose::History {
            client.batch_execute(HISTORY).await.map_err(failed)?;
        }
        Ok(Session::new(client, self.clock))
    }

    /// Refuses a server that is too old.
    pub async fn check(&self, session: &Session) -> Result<()> {
        let row = session.client.query_one("SELECT current_setting('server_version_num')", &[]).await;
        let text: String = row.map_err(|error| self.refused(&error))?.get(0);
        match text.parse::<u32>() {
            Ok(version) if version >= OLDEST => Ok(()),
            _ => Err(Error::Refused(format!(
                "{}: PostgreSQL {} is too old, 14 is the oldest that does",
                self.place,
                text.parse::<u32>().map_or(text.clone(), |version| (version / 10_000).to_string())
            ))),
        }
    }

    /// Why the database refused or could not be asked, with what can be done about it.
    pub fn refused(&self, error: &tokio_postgres::Error) -> Error {
        let place = &self.place;
        let Some(told) = error.as_db_error() else {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                why = format!("{why}: {inner}");
                source = inner.source();
            }
            return Error::Unavailable(format!(
                "cannot connect to PostgreSQL at {place}: {why}; does it run, and can it be reached from here?"
            ));
        };
        let told_text = told.message();
        match told.code() {
            &SqlState::INSUFFICIENT_PRIVILEGE => Error::Refused(format!(
                "{place}: {told_text}; the user needs a database of its own: \
                 CREATE DATABASE tributary OWNER its_user"
            )),
            &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Error::Refused(
                format!("{place}: {told_text}; check user and password, and the server's pg_hba.conf"),
            ),
            &SqlState::INVALID_CATALOG_NAME => {
                Error::Refused(format!("{place}: {told_text}; make it: CREATE DATABASE … OWNER …"))
            }
            _ if is_of_the_values(error) => Error::Statement(told_text.to_owned()),
            _ => Error::Unavailable(format!("{place}: {told_text} ({})", told.code().code())),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let user = config.get_user().unwrap_or("?");
    format!("{host}:{port}, database {}, user {user}", config.get_dbname().unwrap_or(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_and_its_password_never_told() {
        let server = |url: &str| Server::new(url, "n", LeaseClock::Database);
        let good = server("postgres://me:sesame@db.example.com:6432/flows").unwrap();
        assert_eq!(good.place, "db.example.com:6432, database flows, user me");
        assert!(
            server("postgresql:///d?host=/run/postgresql&user=me")
                .unwrap()
                .place
                .starts_with("/run/postgresql")
        );
        let bad = [
            "mysql://me:sesame@h/d",
            "postgres://me:sesame@h:x/d",
            "postgres://me:sesame@h/d?sslmode=maybe",
            "postgres://me:sesame@h/d?sslcompression=1",
            "postgres://me:sesame@h/d?sslmode=require&sslrootcert=/nowhere.pem",
        ];
        for url in bad {
            let Err(Error::Refused(message)) = server(url) else { panic!("{url} was taken") };
            assert!(!message.contains("sesame"), "{message}");
        }
    }
}
