-- What vendors grant to connections, and how its renewal stands.
CREATE TABLE grants (
    workspace   TEXT NOT NULL,
    connection  TEXT NOT NULL,
    n           INTEGER NOT NULL,   -- how often it was granted: another number is another token
    sealed      BLOB,               -- the tokens; see seal.rs
    scopes      TEXT,               -- JSON; none: the vendor did not say
    expires_at  INTEGER,
    begun       INTEGER NOT NULL,   -- renewals that were begun
    answered    INTEGER NOT NULL,   -- the last of them whose answer is known
    renew_until INTEGER,            -- somebody renews it, at most until then
    problem     TEXT,               -- why it was not renewed last
    problem_at  INTEGER,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (workspace, connection)
) STRICT, WITHOUT ROWID;

-- How far the events of connections were asked for.
CREATE TABLE polls (
    workspace  TEXT NOT NULL,
    connection TEXT NOT NULL,
    upto       INTEGER NOT NULL,    -- everything until then was read
    due_at     INTEGER NOT NULL,    -- moved on by whoever begins to ask
    asked_at   INTEGER,             -- the last time that it went well
    found      INTEGER NOT NULL,    -- events that came in no other way
    problem    TEXT,                -- why it did not go well last, or what can't be had any more
    problem_at INTEGER,
    PRIMARY KEY (workspace, connection)
) STRICT, WITHOUT ROWID;

-- The vendor's name for an address that was registered by its API.
ALTER TABLE hooks ADD COLUMN registered TEXT;
