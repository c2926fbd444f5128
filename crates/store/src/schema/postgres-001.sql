-- What PostgreSQL has beside the tables of 001-main.sql.

-- Each node counts for itself, so that no row is everybody's.
ALTER TABLE counters ADD COLUMN node TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE counters DROP CONSTRAINT counters_pkey;
ALTER TABLE counters ADD PRIMARY KEY (workspace, name, node);

-- Leases end by this clock, in microseconds since 1970. The shift is for tests.
CREATE FUNCTION tributary_now() RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT
        + coalesce(nullif(current_setting('tributary.clock_shift', true), '')::BIGINT, 0)
$$;

-- These are queues: what is over leaves soon, and its room must come back.
ALTER TABLE runs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE events SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
ALTER TABLE counters SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE SCHEMA tributary_history;
