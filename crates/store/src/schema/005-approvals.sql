-- What people are asked, and what they answered.

CREATE TABLE approvals (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace  TEXT NOT NULL,
    id         TEXT NOT NULL,
    run        TEXT NOT NULL,
    effect     TEXT NOT NULL,       -- as in waits
    flow       TEXT NOT NULL,
    step       TEXT NOT NULL,
    asked      BLOB NOT NULL,       -- see payload.rs
    deadline   INTEGER,
    status     TEXT NOT NULL,       -- open, decided, expired
    choice     TEXT,
    told       TEXT,                -- how telling the assignees went; none: nobody was to be told, or not yet
    created_at INTEGER NOT NULL,
    closed_at  INTEGER,
    UNIQUE (workspace, id),
    UNIQUE (workspace, run, effect)
) STRICT;
CREATE INDEX approvals_order ON approvals (workspace, seq);
CREATE INDEX approvals_open ON approvals (workspace, seq) WHERE status = 'open';

-- Only ever added to.
CREATE TABLE approval_decisions (
    workspace TEXT NOT NULL,
    approval  TEXT NOT NULL,
    n         INTEGER NOT NULL,
    person    TEXT NOT NULL,        -- who, in lower case: nobody decides twice
    who       TEXT NOT NULL,
    choice    TEXT NOT NULL,
    comment   TEXT,
    at        INTEGER NOT NULL,
    via       TEXT NOT NULL,        -- api, command, link
    origin    TEXT,
    PRIMARY KEY (workspace, approval, n),
    UNIQUE (workspace, approval, person)
) STRICT, WITHOUT ROWID;
