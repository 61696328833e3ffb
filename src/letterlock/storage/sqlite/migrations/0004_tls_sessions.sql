-- What TLS sessions came to, by day (UTC): added when a delivery is settled, for reports (RFC 8460).

CREATE TABLE tls_sessions (
    day TEXT NOT NULL,           -- YYYY-MM-DD
    domain TEXT NOT NULL,        -- whom the report is about
    digest BLOB NOT NULL,        -- of `outcomes`
    outcomes TEXT NOT NULL,      -- JSON: each policy, whether it was met, what failed and where
    sessions INTEGER NOT NULL,
    PRIMARY KEY (day, domain, digest)
) STRICT, WITHOUT ROWID;
