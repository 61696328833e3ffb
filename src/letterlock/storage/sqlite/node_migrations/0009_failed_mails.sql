-- Mail with a report of ours that went into the queue, and that nobody took in the end: `own_reports`
-- may not know yet that it went there.

CREATE TABLE failed_mails (
    report_id TEXT NOT NULL,
    place INTEGER NOT NULL,           -- of the destination among the report's
    failed INTEGER NOT NULL,          -- when
    reason TEXT NOT NULL,
    PRIMARY KEY (report_id, place)
) STRICT, WITHOUT ROWID;
