//! The one suite of the store: what it promises, on both databases.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
#![allow(clippy::duplicate_mod, reason = "the same tests run on each database")]

mod cluster;

/// What a world is made on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

#[path = "."]
mod on_sqlite {
    const DATABASE: crate::Database = crate::Database::Sqlite;
    #[path = "crash.rs"]
    mod crash;
    #[path = "health.rs"]
    mod health;
    #[path = "secrets.rs"]
    mod secrets;
    #[path = "world.rs"]
    mod world;

    #[path = "approvals.rs"]
    mod approvals;
    #[path = "budgets.rs"]
    mod budgets;
    #[path = "committer.rs"]
    mod committer;
    #[path = "dispatch.rs"]
    mod dispatch;
    #[path = "flows.rs"]
    mod flows;
    #[path = "grants.rs"]
    mod grants;
    #[path = "history.rs"]
    mod history;
    #[path = "inbox.rs"]
    mod inbox;
    #[path = "journal.rs"]
    mod journal;
    #[path = "keys.rs"]
    mod keys;
    #[path = "lanes.rs"]
    mod lanes;
    #[path = "migrations.rs"]
    mod migrations;
    #[path = "notices.rs"]
    mod notices;
    #[path = "schedules.rs"]
    mod schedules;
    #[path = "waits.rs"]
    mod waits;
    #[path = "windows.rs"]
    mod windows;
}

#[path = "."]
mod on_postgres {
    const DATABASE: crate::Database = crate::Database::Postgres;
    #[path = "nodes.rs"]
    mod nodes;
    #[path = "world.rs"]
    mod world;

    #[path = "approvals.rs"]
    mod approvals;
    #[path = "budgets.rs"]
    mod budgets;
    #[path = "committer.rs"]
    mod committer;
    #[path = "dispatch.rs"]
    mod dispatch;
    #[path = "flows.rs"]
    mod flows;
    #[path = "grants.rs"]
    mod grants;
    #[path = "history.rs"]
    mod history;
    #[path = "inbox.rs"]
    mod inbox;
    #[path = "journal.rs"]
    mod journal;
    #[path = "keys.rs"]
    mod keys;
    #[path = "lanes.rs"]
    mod lanes;
    #[path = "migrations.rs"]
    mod migrations;
    #[path = "notices.rs"]
    mod notices;
    #[path = "schedules.rs"]
    mod schedules;
    #[path = "waits.rs"]
    mod waits;
    #[path = "windows.rs"]
    mod windows;
}
