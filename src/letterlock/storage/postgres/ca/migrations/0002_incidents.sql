-- Incidents, each certificate that they affect, and how far our own audit is.

CREATE TABLE incidents (
    incident_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    created BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE TABLE affected (
    incident_id TEXT NOT NULL,
    number BIGINT NOT NULL,     -- the certificate's
    serial TEXT NOT NULL,
    issuer TEXT NOT NULL,
    account_id TEXT NOT NULL,
    not_after BIGINT NOT NULL,
    told BIGINT,          -- NULL, as the next three: not yet
    is_mailed BIGINT,     -- 0: its account has no mail address
    replaced BIGINT,
    revoked BIGINT,
    PRIMARY KEY (incident_id, number)
);

CREATE INDEX affected_serial ON affected (serial, issuer);
CREATE INDEX affected_untold ON affected (incident_id, account_id, number) WHERE told IS NULL;
CREATE INDEX affected_left ON affected (incident_id, number) WHERE revoked IS NULL;

CREATE TABLE audit_progress (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL
);

-- Heads of the log that were signed, by the numbers of their records.
CREATE TABLE audit_heads (
    number BIGINT PRIMARY KEY,
    document TEXT NOT NULL
);
