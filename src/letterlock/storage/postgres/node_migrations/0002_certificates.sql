-- Certificates that the nodes get for themselves. Times are microseconds since 1970 in UTC; names
-- compare by octets.

-- One for each name and type of key, whether it is there already or not.
CREATE TABLE certificates (
    name TEXT COLLATE "C" NOT NULL,
    key_type TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL DEFAULT 0, -- certificate_version when the pair in use came; 0: none
    serial TEXT,                 -- NULL, as the next eight: there is none yet
    names TEXT,                  -- a JSON array
    not_before BIGINT,
    not_after BIGINT,
    spki_sha256 BYTEA,
    issuer TEXT,
    directory TEXT,
    issued BIGINT,
    hurried BIGINT,
    renew_at BIGINT,             -- NULL, as the next five: nothing is planned
    window_start BIGINT,         -- NULL, as the next two: the authority suggests nothing
    window_end BIGINT,
    explanation TEXT,
    ask_again BIGINT,
    failed_asks BIGINT,
    troubles TEXT,               -- a JSON array; NULL: none
    stage TEXT,                  -- NULL, as the next five: no roll-over
    next_key BYTEA,
    next_spki_sha256 BYTEA,
    stage_since BIGINT,
    stage_ready BIGINT,
    note TEXT,
    revoked BIGINT,              -- when that was learned
    lease TEXT,                  -- who works on it now
    lease_until BIGINT,
    PRIMARY KEY (name, key_type)
);

CREATE INDEX certificates_version ON certificates (version) WHERE version > 0;

-- What is big and secret of them.
CREATE TABLE certificate_pairs (
    name TEXT COLLATE "C" NOT NULL,
    key_type TEXT COLLATE "C" NOT NULL,
    is_next BIGINT NOT NULL,     -- 0: in use; 1: a roll-over will switch to it
    chain BYTEA NOT NULL,
    private_key BYTEA NOT NULL,
    PRIMARY KEY (name, key_type, is_next)
);

-- One row: counts the changes of pairs in use.
CREATE TABLE certificate_version (version BIGINT NOT NULL);
INSERT INTO certificate_version (version) VALUES (0);

-- Every certificate that we ever got, until long after its end.
CREATE TABLE issued_certificates (
    fingerprint TEXT COLLATE "C" PRIMARY KEY, -- the SHA-256 of the leaf in hex
    serial TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_type TEXT COLLATE "C" NOT NULL,
    directory TEXT NOT NULL,
    issued BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    leaf BYTEA NOT NULL,
    revoked BIGINT
);

CREATE INDEX issued_certificates_serial ON issued_certificates (serial);
CREATE INDEX issued_certificates_name ON issued_certificates (name, key_type, issued);
CREATE INDEX issued_certificates_end ON issued_certificates (not_after);

-- Accounts at authorities.
CREATE TABLE acme_accounts (
    directory TEXT COLLATE "C" PRIMARY KEY,
    private_key BYTEA NOT NULL,
    created BIGINT NOT NULL,
    url TEXT,
    next_key BYTEA               -- the authority may know either
);

-- Proofs that authorities may come and look at.
CREATE TABLE challenges (
    kind TEXT NOT NULL,
    token TEXT COLLATE "C" NOT NULL,
    server_name TEXT COLLATE "C" NOT NULL,
    identifier TEXT NOT NULL,
    key_authorization TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (kind, token)
);

CREATE INDEX challenges_server_name ON challenges (kind, server_name);
CREATE INDEX challenges_until ON challenges (until);
