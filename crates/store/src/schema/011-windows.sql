-- Open windows: the runs for which flows gather events. A row is there as long as its run takes in more.
CREATE TABLE windows (
    workspace TEXT NOT NULL,
    flow      TEXT NOT NULL,
    key       TEXT NOT NULL,        -- JSON: the lane and the window's own key, null where there is none
    run       TEXT NOT NULL,
    revision  INTEGER NOT NULL,     -- the run's
    events    INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,     -- of all of them
    due_at    INTEGER NOT NULL,
    PRIMARY KEY (workspace, flow, key),
    UNIQUE (workspace, run)
) STRICT, WITHOUT ROWID;
