-- The messages by which people are asked, and the buttons that they press there.
CREATE TABLE notices (
    workspace  TEXT NOT NULL,
    approval   TEXT NOT NULL,
    n          INTEGER NOT NULL,    -- which of the question's messages
    connection TEXT NOT NULL,
    operation  TEXT NOT NULL,       -- what sends it
    find       BLOB NOT NULL,       -- how it is found again; see payload.rs
    place      BLOB,                -- where it stands; none: it is being sent, or nobody knows
    open       INTEGER NOT NULL,    -- it has buttons, and is changed once nothing more can be decided
    due_at     INTEGER,             -- when it is to be changed; moved on by whoever tries
    tries      INTEGER NOT NULL,
    PRIMARY KEY (workspace, approval, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX notices_due ON notices (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX notices_open ON notices (open) WHERE open = 1;

-- Forgotten once it is a decision, or was refused.
CREATE TABLE clicks (
    workspace TEXT NOT NULL,
    event     TEXT NOT NULL,        -- what told of it
    approval  TEXT NOT NULL,
    n         INTEGER NOT NULL,     -- as in notices
    choice    INTEGER NOT NULL,     -- which of the question's choices
    due_at    INTEGER NOT NULL,     -- moved on by whoever tries
    tries     INTEGER NOT NULL,
    PRIMARY KEY (workspace, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX clicks_due ON clicks (due_at, workspace, event);
