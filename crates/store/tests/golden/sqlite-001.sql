-- The schema of 0.1.0 on SQLite with a little of everything in it. A released schema: never edited.
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE connections (
    workspace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    id         TEXT NOT NULL,
    connector  TEXT NOT NULL,
    live       INTEGER NOT NULL,
    base_url   TEXT,
    names      TEXT NOT NULL,       -- JSON: the names of the credentials
    sealed     BLOB NOT NULL,       -- the credentials; see seal.rs
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT;

CREATE TABLE hooks (
    id         TEXT NOT NULL PRIMARY KEY,
    workspace  TEXT NOT NULL,
    connection TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX hooks_of ON hooks (workspace, connection);

CREATE TABLE flows (
    workspace TEXT NOT NULL,
    name      TEXT NOT NULL,
    revision  INTEGER NOT NULL,     -- the current one
    paused    INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT;

CREATE TABLE flow_revisions (
    workspace   TEXT NOT NULL,
    name        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    version     TEXT NOT NULL,
    text        TEXT NOT NULL,
    settings    TEXT NOT NULL,      -- JSON
    connections TEXT NOT NULL,      -- JSON: name in the document → name here
    deployed_at INTEGER NOT NULL,
    PRIMARY KEY (workspace, name, revision)
) STRICT;

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    connection  TEXT NOT NULL,
    dedupe_key  TEXT NOT NULL,
    type        TEXT NOT NULL,
    time        INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    live        INTEGER,
    subject     TEXT,
    status      TEXT NOT NULL,      -- accepted, dispatched, quarantined
    replays     INTEGER NOT NULL,
    payload     BLOB NOT NULL,      -- see payload.rs
    problem     TEXT,               -- JSON: why it is quarantined
    UNIQUE (workspace, id)
) STRICT;
CREATE INDEX events_order ON events (workspace, seq);
CREATE INDEX events_waiting ON events (seq) WHERE status = 'accepted';
CREATE INDEX events_over ON events (received_at) WHERE status <> 'accepted';

CREATE TABLE dedupe (
    workspace  TEXT NOT NULL,
    connection TEXT NOT NULL,
    key        TEXT NOT NULL,
    event      TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (workspace, connection, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_age ON dedupe (at);

CREATE TABLE event_outcomes (
    workspace TEXT NOT NULL,
    event     TEXT NOT NULL,
    replay    INTEGER NOT NULL,
    flow      TEXT NOT NULL,        -- '' where no flow was asked
    outcome   TEXT NOT NULL,        -- run, joined, stale, duplicate_fact, no_match, quarantined
    run       TEXT,
    failed    INTEGER NOT NULL,     -- the run has failed
    PRIMARY KEY (workspace, event, replay, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    flow        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    version     TEXT NOT NULL,
    status      TEXT NOT NULL,      -- queued, running, parked, completed, failed, cancelled
    turn        INTEGER NOT NULL,   -- 1: nobody else of the lane may work
    lane        TEXT NOT NULL,      -- the run's own id if it has no lane
    keyed       INTEGER NOT NULL,   -- 1: the lane has a key
    latest      INTEGER NOT NULL,   -- 1: a state flow
    hold        INTEGER NOT NULL,   -- 1: a failure keeps the lane closed
    event       TEXT,
    event_type  TEXT,
    event_time  INTEGER,
    subject     TEXT,
    input       BLOB,               -- of a run that no event started
    node        TEXT,
    epoch       INTEGER NOT NULL,   -- how often it was claimed
    lease_until INTEGER,
    ready_at    INTEGER,
    retries     INTEGER NOT NULL,
    entries     INTEGER NOT NULL,   -- the length of its journal
    created_at  INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER,
    fault       TEXT,               -- JSON
    UNIQUE (workspace, id)
) STRICT;
CREATE INDEX runs_order ON runs (workspace, seq);
CREATE UNIQUE INDEX runs_turn ON runs (workspace, flow, lane) WHERE turn = 1;
CREATE INDEX runs_ready ON runs (seq) WHERE status = 'queued' AND turn = 1;
CREATE INDEX runs_line ON runs (workspace, flow, lane, seq) WHERE status = 'queued';
CREATE INDEX runs_leased ON runs (lease_until) WHERE status = 'running';
CREATE INDEX runs_parked ON runs (ready_at) WHERE status = 'parked';
CREATE INDEX runs_done ON runs (finished_at) WHERE finished_at IS NOT NULL AND turn = 0;

CREATE TABLE run_events (
    workspace TEXT NOT NULL,
    run       TEXT NOT NULL,
    event     TEXT NOT NULL,
    source    TEXT NOT NULL,
    time      INTEGER NOT NULL,
    PRIMARY KEY (workspace, run, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_events_of ON run_events (workspace, event);

CREATE TABLE journal (
    workspace TEXT NOT NULL,
    run       TEXT NOT NULL,
    n         INTEGER NOT NULL,
    entry     BLOB NOT NULL,        -- see payload.rs
    UNIQUE (workspace, run, n)
) STRICT;

CREATE TABLE facts (
    workspace TEXT NOT NULL,
    flow      TEXT NOT NULL,
    key       TEXT NOT NULL,
    event     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (workspace, flow, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX facts_age ON facts (at);

CREATE TABLE applied (
    workspace  TEXT NOT NULL,
    flow       TEXT NOT NULL,
    connection TEXT NOT NULL,
    lane       TEXT NOT NULL,
    time       INTEGER NOT NULL,
    PRIMARY KEY (workspace, flow, connection, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    workspace TEXT NOT NULL,
    name      TEXT NOT NULL,
    value     INTEGER NOT NULL,
    PRIMARY KEY (workspace, name)
) STRICT, WITHOUT ROWID;

INSERT INTO meta (name, value) VALUES ('schema', '1');
