-- What each node saw when it looked at our certificates in use.
CREATE TABLE watched_certificates (
    node TEXT NOT NULL,
    name TEXT NOT NULL,
    key_type TEXT NOT NULL,
    version INTEGER NOT NULL, -- of the pair that was looked at
    looked INTEGER NOT NULL,
    look_again INTEGER NOT NULL,
    findings TEXT, -- JSON; null: all is as it should be
    PRIMARY KEY (node, name, key_type)
) STRICT, WITHOUT ROWID;
