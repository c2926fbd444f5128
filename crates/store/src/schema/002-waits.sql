-- What runs wait for from outside: an answer, the end of another run, events.

CREATE TABLE waits (
    workspace TEXT NOT NULL,
    run       TEXT NOT NULL,
    effect    TEXT NOT NULL,        -- see waits.rs
    awaited   TEXT,                 -- the run whose end it waits for
    looked    INTEGER NOT NULL,     -- 1: events that had come before were looked for
    PRIMARY KEY (workspace, run, effect)
) STRICT, WITHOUT ROWID;
CREATE INDEX waits_for ON waits (workspace, awaited) WHERE awaited IS NOT NULL;

-- What was told to a run and not taken by it yet.
CREATE TABLE signals (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    run       TEXT NOT NULL,
    effect    TEXT NOT NULL,
    name      TEXT NOT NULL,        -- told once by this name; of an event, its id
    payload   BLOB,                 -- none: the event of that id
    at        INTEGER NOT NULL,
    UNIQUE (workspace, run, effect, name)
) STRICT;
CREATE INDEX signals_order ON signals (workspace, run, seq);

-- What flows listen for: an event's type or family of types, and expressions over it. It is never forgotten: a run of
-- an old revision may come to its `listen` much later.
CREATE TABLE listened (
    workspace TEXT NOT NULL,
    type      TEXT NOT NULL,
    form      TEXT NOT NULL,        -- a digest of the expressions
    asked     TEXT NOT NULL,        -- JSON: the expressions
    PRIMARY KEY (workspace, type, form)
) STRICT, WITHOUT ROWID;

-- What the expressions must give for a run that listens.
CREATE TABLE listeners (
    workspace TEXT NOT NULL,
    type      TEXT NOT NULL,
    form      TEXT NOT NULL,
    key       TEXT NOT NULL,
    run       TEXT NOT NULL,
    effect    TEXT NOT NULL,
    PRIMARY KEY (workspace, type, form, key, run, effect)
) STRICT, WITHOUT ROWID;
CREATE INDEX listeners_of ON listeners (workspace, run, effect);

-- What they gave for an event that is listened for: whoever listens later finds it here.
CREATE TABLE heard (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    type      TEXT NOT NULL,
    form      TEXT NOT NULL,
    key       TEXT NOT NULL,
    event     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    UNIQUE (workspace, event, type, form)
) STRICT;
CREATE INDEX heard_by ON heard (workspace, type, form, key, seq);
CREATE INDEX heard_age ON heard (at);

-- How far an emitted event is from one that came from outside.
CREATE TABLE hops (
    workspace TEXT NOT NULL,
    event     TEXT NOT NULL,
    n         INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (workspace, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX hops_age ON hops (at);
