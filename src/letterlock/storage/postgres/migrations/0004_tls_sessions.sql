-- What TLS sessions came to, by day (UTC): added when a delivery is settled, for reports (RFC 8460).
-- Rows are locked last, and in the order of the key.

CREATE TABLE tls_sessions (
    day TEXT COLLATE "C" NOT NULL,    -- YYYY-MM-DD
    domain TEXT COLLATE "C" NOT NULL, -- whom the report is about
    digest BYTEA NOT NULL,            -- of `outcomes`
    outcomes TEXT NOT NULL,           -- JSON: each policy, whether it was met, what failed and where
    sessions BIGINT NOT NULL,
    PRIMARY KEY (day, domain, digest)
);
