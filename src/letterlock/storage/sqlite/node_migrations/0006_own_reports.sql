-- Reports on TLS that we send (RFC 8460). Times are microseconds since 1970 in UTC, days YYYY-MM-DD.

CREATE TABLE own_reports (
    source TEXT NOT NULL,        -- who counted
    day TEXT NOT NULL,
    domain TEXT NOT NULL,        -- whom it is about
    record TEXT NOT NULL,        -- its TLSRPT record as it was seen; '': it is looked up
    report_id TEXT NOT NULL,
    due INTEGER,                 -- NULL: nothing more is to be done
    note TEXT NOT NULL,          -- why nothing is sent
    deliveries TEXT NOT NULL,    -- JSON: for each destination how it stands
    octets BLOB,                 -- the report, while it is being sent
    lease TEXT,                  -- who works on it now
    lease_until INTEGER,
    PRIMARY KEY (source, day, domain, record)
) STRICT;

CREATE INDEX own_reports_due ON own_reports (due) WHERE due IS NOT NULL;

-- Days whose reports are all in `own_reports`.
CREATE TABLE own_report_days (
    source TEXT NOT NULL,
    day TEXT NOT NULL,
    PRIMARY KEY (source, day)
) STRICT, WITHOUT ROWID;
