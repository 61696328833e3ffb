-- What each node saw when it looked at our certificates in use.
CREATE TABLE watched_certificates (
    node TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    key_type TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,  -- of the pair that was looked at
    looked BIGINT NOT NULL,
    look_again BIGINT NOT NULL,
    findings TEXT,  -- JSON; null: all is as it should be
    PRIMARY KEY (node, name, key_type)
);
