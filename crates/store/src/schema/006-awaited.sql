-- `waits.looked` is 2 where the run was cancelled, and what it awaits is still to be.
CREATE INDEX waits_left ON waits (workspace, run) WHERE looked = 2;

-- What was asked leaves with its month's history.
CREATE INDEX approvals_age ON approvals (created_at);

-- Events that more runs listen for than one unit tells: who comes after `run` and `effect` is still to be told.
CREATE TABLE tellings (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    event     TEXT NOT NULL,
    replay    INTEGER NOT NULL,
    type      TEXT NOT NULL,
    form      TEXT NOT NULL,
    key       TEXT NOT NULL,
    run       TEXT NOT NULL,
    effect    TEXT NOT NULL
) STRICT;
