-- The queue of one shard. Times are microseconds since 1970 in UTC.

CREATE TABLE messages (
    message_id INTEGER PRIMARY KEY,
    queue_id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    body_type TEXT NOT NULL,
    smtputf8 INTEGER NOT NULL,
    ret TEXT,
    envid TEXT,
    size INTEGER NOT NULL,
    body_file TEXT,              -- NULL: the octets are in `bodies`
    received INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    origin TEXT NOT NULL,        -- JSON
    hold TEXT,                   -- why it is kept back
    finished INTEGER             -- when the last recipient was done
) STRICT;

CREATE INDEX messages_waiting ON messages (queue_id, size) WHERE finished IS NULL;
CREATE INDEX messages_finished ON messages (finished) WHERE finished IS NOT NULL;
CREATE INDEX messages_body_file ON messages (body_file) WHERE body_file IS NOT NULL;

-- Apart from `messages`, so that listing and claiming never read past octets.
CREATE TABLE bodies (
    message_id INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE recipients (
    message_id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    number INTEGER NOT NULL,
    address TEXT NOT NULL,
    notify TEXT NOT NULL,
    orcpt TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER,        -- set exactly when `state` is queued
    is_delay_notified INTEGER NOT NULL DEFAULT 0,
    last_status TEXT NOT NULL DEFAULT '',
    last_reply TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (message_id, destination, number)
) STRICT, WITHOUT ROWID;

-- What can be claimed: one message at one destination, while a recipient there is queued or held.
CREATE TABLE deliveries (
    message_id INTEGER NOT NULL,
    destination TEXT NOT NULL,
    due INTEGER,                 -- next attempt, or the lease's end; NULL: all are held
    lease TEXT,
    PRIMARY KEY (message_id, destination)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (destination, due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (lease) WHERE lease IS NOT NULL;

-- One row for each destination with something due at some time. `next_due` is the later of the
-- earliest `due` there and of `served`, when a claim was last made there: a destination that was
-- served queues up again behind the others.
CREATE TABLE destinations (
    destination TEXT PRIMARY KEY,
    next_due INTEGER NOT NULL,
    served INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX destinations_next_due ON destinations (next_due);

CREATE TABLE attempts (
    attempt_id INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL,
    started INTEGER NOT NULL,
    duration INTEGER NOT NULL,   -- microseconds
    relay TEXT NOT NULL,
    summary TEXT NOT NULL,
    story TEXT NOT NULL,         -- JSON
    recipients TEXT NOT NULL     -- JSON: their numbers
) STRICT;

CREATE INDEX attempts_message ON attempts (message_id);
