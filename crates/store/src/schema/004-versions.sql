-- What versions of flows and of connectors need.

-- 1: a folder deployed it, and removes it once it is gone there.
ALTER TABLE flows ADD COLUMN folder INTEGER NOT NULL DEFAULT 0;
-- How a revision came about, where it was not simply deployed.
ALTER TABLE flow_revisions ADD COLUMN note TEXT;

-- Connectors' manifests by what they say: a run keeps those that it began with. They hold nothing of a workspace, so
-- that all workspaces of a database share them.
CREATE TABLE manifests (
    digest   TEXT NOT NULL PRIMARY KEY,
    slug     TEXT NOT NULL,
    text     TEXT NOT NULL,
    noted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
