-- Accounts that submit mail.
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    password_hash TEXT,          -- argon2id; NULL: another source has the password
    scram_salt BLOB,             -- NULL, as the next three: not for SCRAM
    scram_iterations INTEGER,
    scram_stored_key BLOB,
    scram_server_key BLOB,
    addresses TEXT NOT NULL,     -- a JSON array: what it may send as
    max_messages INTEGER,        -- an hour; NULL, as the next one: what the settings say
    max_recipients INTEGER,
    is_disabled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: what accounts that are not there are answered with is made of it.
CREATE TABLE user_decoys (secret BLOB NOT NULL) STRICT;
