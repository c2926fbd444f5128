-- What nodes have taken of the budgets that vendors give to connections; only nodes that share a database write here.
CREATE TABLE budgets (
    workspace  TEXT NOT NULL,
    connection TEXT NOT NULL,
    due        INTEGER NOT NULL,    -- when the next place is
    closed     INTEGER NOT NULL,    -- the vendor wants no request before
    PRIMARY KEY (workspace, connection)
) STRICT, WITHOUT ROWID;

-- Which nodes use a connection.
CREATE TABLE budget_nodes (
    workspace  TEXT NOT NULL,
    connection TEXT NOT NULL,
    node       TEXT NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (workspace, connection, node)
) STRICT, WITHOUT ROWID;
