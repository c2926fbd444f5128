-- Flows that the clock starts, and when it does so next. A flow whose `clock` says something else begins anew.
CREATE TABLE schedules (
    workspace TEXT NOT NULL,
    flow      TEXT NOT NULL,
    clock     TEXT NOT NULL,     -- flow::Schedule::text
    due_at    INTEGER,              -- null: once the run of the latest event is over, if at all
    event     TEXT,                 -- the latest
    PRIMARY KEY (workspace, flow)
) STRICT, WITHOUT ROWID;
