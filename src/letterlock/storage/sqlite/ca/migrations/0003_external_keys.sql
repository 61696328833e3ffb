-- Keys for external account binding (RFC 8555 §7.3.4): when they were given out, and taken back.
-- Not the keys themselves.

CREATE TABLE external_keys (
    kid TEXT PRIMARY KEY,
    made INTEGER,         -- NULL: by a release that did not note it
    revoked INTEGER       -- NULL: it is good
) STRICT, WITHOUT ROWID;
