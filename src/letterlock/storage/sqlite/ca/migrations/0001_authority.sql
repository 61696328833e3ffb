-- What the authority keeps. Times are microseconds since 1970 in UTC, documents are JSON. Serial
-- numbers, and issuers' key identifiers, are in lower-case hexadecimal.

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    thumbprint TEXT NOT NULL UNIQUE, -- of its key (RFC 7638)
    document TEXT NOT NULL
) STRICT;

CREATE TABLE authorizations (
    authorization_id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    identifier TEXT NOT NULL,    -- as orders have it: type, colon, value
    status TEXT NOT NULL,
    expires INTEGER NOT NULL,
    document TEXT NOT NULL,
    caa_check TEXT               -- the last look at CAA; NULL: there was none
) STRICT;

CREATE INDEX authorizations_valid ON authorizations (account_id, identifier)
    WHERE status = 'valid';

CREATE TABLE orders (
    number INTEGER PRIMARY KEY,
    order_id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    status TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;

CREATE INDEX orders_shown ON orders (account_id, number) WHERE status <> 'invalid';

-- What is done behind requests. Whose it is until when; number: how often it was claimed.
CREATE TABLE work (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    moment INTEGER NOT NULL,
    detail BLOB NOT NULL,
    owner TEXT NOT NULL,
    until INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX work_due ON work (kind, until);

-- Every serial number that was ever taken, before anything is signed with it.
CREATE TABLE serials (
    serial TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    order_id TEXT NOT NULL,
    profile TEXT NOT NULL,
    moment INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    is_used INTEGER NOT NULL     -- 1: it has a certificate
) STRICT, WITHOUT ROWID;

CREATE INDEX serials_unused ON serials (moment) WHERE is_used = 0;

CREATE TABLE certificates (
    number INTEGER PRIMARY KEY,
    certificate_id TEXT NOT NULL UNIQUE,
    serial TEXT NOT NULL UNIQUE,
    issuer TEXT NOT NULL,
    account_id TEXT NOT NULL,
    spki_sha256 BLOB NOT NULL,
    not_after INTEGER NOT NULL,
    is_open INTEGER NOT NULL,    -- 1: neither revoked nor replaced
    chains TEXT NOT NULL,        -- a JSON array of chain_id
    document TEXT NOT NULL,
    grounds TEXT NOT NULL,       -- what it rests on
    der BLOB NOT NULL
) STRICT;

CREATE INDEX certificates_account ON certificates (account_id, number);
CREATE INDEX certificates_key ON certificates (spki_sha256, number);
CREATE INDEX certificates_open ON certificates (number, not_after) WHERE is_open = 1;

CREATE TABLE certificate_names (
    identifier TEXT NOT NULL,    -- type, colon, value
    number INTEGER NOT NULL,
    PRIMARY KEY (identifier, number)
) STRICT, WITHOUT ROWID;

-- What follows certificates, in PEM, once; its id is the SHA-256 in hexadecimal.
CREATE TABLE chains (
    chain_id TEXT PRIMARY KEY,
    pem BLOB NOT NULL
) STRICT;

CREATE TABLE revocations (
    issuer TEXT NOT NULL,
    shard INTEGER NOT NULL,
    serial TEXT NOT NULL,
    moment INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    invalid_since INTEGER,       -- NULL: not said
    PRIMARY KEY (serial, issuer)
) STRICT, WITHOUT ROWID;

CREATE INDEX revocations_shard ON revocations (issuer, shard);

-- Each change of a shard's revocations gives it the next revision.
CREATE TABLE shards (
    issuer TEXT NOT NULL,
    shard INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    crl_number TEXT,             -- NULL, as the next four: there is no CRL yet
    this_update INTEGER,
    next_update INTEGER,
    covers INTEGER,              -- the revision that is in it
    der BLOB,
    PRIMARY KEY (issuer, shard)
) STRICT;

CREATE TABLE blocked_keys (
    spki_sha256 BLOB PRIMARY KEY,
    moment INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Nonces that were used, until they are too old anyway. In the order of time: so they are added at
-- the end, and forgotten at the beginning.
CREATE TABLE nonces (
    forgotten INTEGER NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (forgotten, id)
) STRICT, WITHOUT ROWID;

-- One row: what was to be forgotten until then is forgotten, and refused.
CREATE TABLE nonce_horizon (moment INTEGER NOT NULL) STRICT;
INSERT INTO nonce_horizon (moment) VALUES (0);

-- The moment at which a counter would be empty again; one that is not here is.
CREATE TABLE counters (
    counter TEXT PRIMARY KEY,    -- the limit's name, a line's end, the key
    empty_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE paused_names (
    account_id TEXT NOT NULL,
    identifier TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (account_id, identifier)
) STRICT, WITHOUT ROWID;

-- What the processes share and nobody else knows.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- At most one row: whether issuance is halted.
CREATE TABLE halt (document TEXT NOT NULL) STRICT;

-- The log of decisions. Each hash is over its record and the hash before.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    moment INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    document TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;

CREATE INDEX audit_moment ON audit (moment);
CREATE INDEX audit_kind ON audit (kind, number);
CREATE INDEX audit_subject ON audit (subject, number);

-- Not for those who mean harm, whom the hashes are for: for mistakes.
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log is not changed'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit log is not shortened'); END;
