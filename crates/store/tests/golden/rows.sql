-- What 0.1.0 may have left: a flow, an event that waits, a run in mid-work.
INSERT INTO flows (workspace, name, revision, paused) VALUES ('default', 'f', 1, 0);
INSERT INTO flow_revisions (workspace, name, revision, version, text, settings, connections, deployed_at)
    VALUES ('default', 'f', 1, '1.0.0', 'flow f', '{}', '{}', 1793491200000000);
INSERT INTO events (workspace, id, connection, dedupe_key, type, time, received_at, live, subject, status, replays, payload)
    VALUES ('default', 'evt_1', 'stripe', 'e1', 'stripe.invoice.paid', 1793491200000000, 1793491200000000, 0, 'in_1', 'dispatched', 0, '\x007b7d');
INSERT INTO events (workspace, id, connection, dedupe_key, type, time, received_at, live, subject, status, replays, payload)
    VALUES ('default', 'evt_2', 'stripe', 'e2', 'stripe.invoice.paid', 1793491200000000, 1793491200000000, 0, 'in_2', 'accepted', 0, '\x007b7d');
INSERT INTO dedupe (workspace, connection, key, event, deliveries, at) VALUES ('default', 'stripe', 'e1', 'evt_1', 1, 1793491200000000);
INSERT INTO dedupe (workspace, connection, key, event, deliveries, at) VALUES ('default', 'stripe', 'e2', 'evt_2', 1, 1793491200000000);
INSERT INTO event_outcomes (workspace, event, replay, flow, outcome, run, failed) VALUES ('default', 'evt_1', 0, 'f', 'run', 'run_1', 0);
INSERT INTO runs (workspace, id, flow, revision, version, status, turn, lane, keyed, latest, hold, event, event_type, event_time,
    node, epoch, lease_until, retries, entries, created_at, started_at)
    VALUES ('default', 'run_1', 'f', 1, '1.0.0', 'running', 1, 'a', 1, 0, 0, 'evt_1', 'stripe.invoice.paid', 1793491200000000,
    'node-1', 1, 1793491230000000, 0, 0, 1793491200000000, 1793491200000000);
INSERT INTO run_events (workspace, run, event, source, time) VALUES ('default', 'run_1', 'evt_1', 'stripe', 1793491200000000);
INSERT INTO counters (workspace, name, value) VALUES ('default', 'events_received', 2);
