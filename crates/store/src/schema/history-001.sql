-- One month of what is over. The columns are those of the hot tables, so that the same statements read both.

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    workspace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    connection  TEXT NOT NULL,
    dedupe_key  TEXT NOT NULL,
    type        TEXT NOT NULL,
    time        INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    live        INTEGER,
    subject     TEXT,
    status      TEXT NOT NULL,
    replays     INTEGER NOT NULL,
    payload     BLOB NOT NULL,
    problem     TEXT,
    UNIQUE (workspace, id)
) STRICT;
CREATE INDEX events_order ON events (workspace, seq);

CREATE TABLE event_outcomes (
    workspace TEXT NOT NULL,
    event     TEXT NOT NULL,
    replay    INTEGER NOT NULL,
    flow      TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    run       TEXT,
    failed    INTEGER NOT NULL,
    PRIMARY KEY (workspace, event, replay, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    seq         INTEGER PRIMARY KEY,
    workspace   TEXT NOT NULL,
    id          TEXT NOT NULL,
    flow        TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    version     TEXT NOT NULL,
    status      TEXT NOT NULL,
    turn        INTEGER NOT NULL,
    lane        TEXT NOT NULL,
    keyed       INTEGER NOT NULL,
    latest      INTEGER NOT NULL,
    hold        INTEGER NOT NULL,
    event       TEXT,
    event_type  TEXT,
    event_time  INTEGER,
    subject     TEXT,
    input       BLOB,
    node        TEXT,
    epoch       INTEGER NOT NULL,
    lease_until INTEGER,
    ready_at    INTEGER,
    retries     INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER,
    finished_at INTEGER,
    fault       TEXT,
    UNIQUE (workspace, id)
) STRICT;
CREATE INDEX runs_order ON runs (workspace, seq);
CREATE INDEX runs_of ON runs (workspace, flow, seq);
CREATE INDEX runs_by ON runs (workspace, status, seq);

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
    entry     BLOB NOT NULL,
    UNIQUE (workspace, run, n)
) STRICT;
