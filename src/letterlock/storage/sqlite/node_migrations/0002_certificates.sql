-- Certificates that the node gets for itself. Times are microseconds since 1970 in UTC.

-- One for each name and type of key, whether it is there already or not.
CREATE TABLE certificates (
    name TEXT NOT NULL,
    key_type TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 0, -- certificate_version when the pair in use came; 0: none
    serial TEXT,                 -- NULL, as the next eight: there is none yet
    names TEXT,                  -- a JSON array
    not_before INTEGER,
    not_after INTEGER,
    spki_sha256 BLOB,
    issuer TEXT,
    directory TEXT,
    issued INTEGER,
    hurried INTEGER,
    renew_at INTEGER,            -- NULL, as the next five: nothing is planned
    window_start INTEGER,        -- NULL, as the next two: the authority suggests nothing
    window_end INTEGER,
    explanation TEXT,
    ask_again INTEGER,
    failed_asks INTEGER,
    troubles TEXT,               -- a JSON array; NULL: none
    stage TEXT,                  -- NULL, as the next five: no roll-over
    next_key BLOB,
    next_spki_sha256 BLOB,
    stage_since INTEGER,
    stage_ready INTEGER,
    note TEXT,
    revoked INTEGER,             -- when that was learned
    lease TEXT,                  -- who works on it now
    lease_until INTEGER,
    PRIMARY KEY (name, key_type)
) STRICT, WITHOUT ROWID;

CREATE INDEX certificates_version ON certificates (version) WHERE version > 0;

-- What is big and secret of them.
CREATE TABLE certificate_pairs (
    name TEXT NOT NULL,
    key_type TEXT NOT NULL,
    is_next INTEGER NOT NULL,    -- 0: in use; 1: a roll-over will switch to it
    chain BLOB NOT NULL,
    private_key BLOB NOT NULL,
    PRIMARY KEY (name, key_type, is_next)
) STRICT;

-- One row: counts the changes of pairs in use.
CREATE TABLE certificate_version (version INTEGER NOT NULL) STRICT;
INSERT INTO certificate_version (version) VALUES (0);

-- Every certificate that we ever got, until long after its end.
CREATE TABLE issued_certificates (
    fingerprint TEXT PRIMARY KEY, -- the SHA-256 of the leaf in hex
    serial TEXT NOT NULL,
    name TEXT NOT NULL,
    key_type TEXT NOT NULL,
    directory TEXT NOT NULL,
    issued INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    revoked INTEGER
) STRICT;

CREATE INDEX issued_certificates_serial ON issued_certificates (serial);
CREATE INDEX issued_certificates_name ON issued_certificates (name, key_type, issued);
CREATE INDEX issued_certificates_end ON issued_certificates (not_after);

-- Accounts at authorities.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    private_key BLOB NOT NULL,
    created INTEGER NOT NULL,
    url TEXT,
    next_key BLOB                -- the authority may know either
) STRICT, WITHOUT ROWID;

-- Proofs that authorities may come and look at.
CREATE TABLE challenges (
    kind TEXT NOT NULL,
    token TEXT NOT NULL,
    server_name TEXT NOT NULL,
    identifier TEXT NOT NULL,
    key_authorization TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (kind, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX challenges_server_name ON challenges (kind, server_name);
CREATE INDEX challenges_until ON challenges (until);
