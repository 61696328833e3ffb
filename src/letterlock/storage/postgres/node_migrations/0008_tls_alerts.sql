-- Alerts on what reports on TLS say: one row, decided as a whole. `state` is JSON.

CREATE TABLE tls_alerts (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,           -- who saves names the one that it has read
    state TEXT NOT NULL
);

-- Few do not count, and alerts look at those again and again.
CREATE INDEX received_reports_unproved ON received_reports (received) WHERE standing <> 'counted';
