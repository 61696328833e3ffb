-- Reports on TLS that others send (RFC 8460). Times are microseconds since 1970 in UTC, days YYYY-MM-DD.

CREATE TABLE received_reports (
    id INTEGER PRIMARY KEY,
    fingerprint BLOB NOT NULL UNIQUE, -- of what makes two reports the same one
    day TEXT NOT NULL,                -- that it begins on; without one that it came on
    received INTEGER NOT NULL,
    way TEXT NOT NULL,                -- mail, https, import
    standing TEXT NOT NULL,           -- counted, unauthenticated, refused
    submitter TEXT NOT NULL,          -- whose it is: a domain, or a name where there is none
    note TEXT NOT NULL,               -- why it does not count
    facts TEXT NOT NULL,              -- JSON: what it says of itself, and what was repaired
    copies INTEGER NOT NULL DEFAULT 0, -- how often it came again
    octets BLOB NOT NULL              -- as it came, packed by zlib
) STRICT;

CREATE INDEX received_reports_day ON received_reports (day);

-- One for each policy of a report.
CREATE TABLE received_results (
    report INTEGER NOT NULL REFERENCES received_reports ON DELETE CASCADE,
    place INTEGER NOT NULL,
    domain TEXT NOT NULL,             -- the policy domain; '': not told
    day TEXT NOT NULL,
    type TEXT,                        -- NULL: not told, here and below
    successful INTEGER,
    failed INTEGER,
    policy TEXT NOT NULL,             -- JSON: its strings, its MX hosts
    failures TEXT,                    -- JSON
    PRIMARY KEY (report, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX received_results_domain ON received_results (domain, day);
