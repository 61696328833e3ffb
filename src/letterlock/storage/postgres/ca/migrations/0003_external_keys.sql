-- Keys for external account binding (RFC 8555 §7.3.4): when they were given out, and taken back.
-- Not the keys themselves.

CREATE TABLE external_keys (
    kid TEXT PRIMARY KEY,
    made BIGINT,          -- NULL: by a release that did not note it
    revoked BIGINT        -- NULL: it is good
);
