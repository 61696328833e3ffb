-- Accounts that submit mail.
CREATE TABLE users (
    name TEXT COLLATE "C" PRIMARY KEY,
    created BIGINT NOT NULL,
    password_hash TEXT,          -- argon2id; NULL: another source has the password
    scram_salt BYTEA,            -- NULL, as the next three: not for SCRAM
    scram_iterations BIGINT,
    scram_stored_key BYTEA,
    scram_server_key BYTEA,
    addresses TEXT NOT NULL,     -- a JSON array: what it may send as
    max_messages BIGINT,         -- an hour; NULL, as the next one: what the settings say
    max_recipients BIGINT,
    is_disabled SMALLINT NOT NULL
);

-- One row: what accounts that are not there are answered with is made of it.
CREATE TABLE user_decoys (
    single BOOLEAN PRIMARY KEY CHECK (single),
    secret BYTEA NOT NULL
);
