-- What all nodes share beside the queue. Times are microseconds since 1970 in UTC; names compare by
-- octets.

-- MTA-STS policies as they were fetched, and fetches that failed since.
CREATE TABLE policies (
    domain TEXT COLLATE "C" PRIMARY KEY,
    policy_id TEXT,              -- NULL, as the next three: none was fetched
    policy_text TEXT,
    fetched BIGINT,
    expires BIGINT,
    refresh BIGINT,              -- when to fetch it anew without being asked
    failed BIGINT,               -- NULL, as the next two: the last fetch did not fail
    failed_id TEXT,              -- NULL: there was no record
    failure_type TEXT,
    failure TEXT,
    used BIGINT NOT NULL,        -- the last time that mail asked for it, to the day
    lease TEXT,                  -- who fetches now
    lease_until BIGINT
);

CREATE INDEX policies_refresh ON policies (refresh) WHERE refresh IS NOT NULL;
CREATE INDEX policies_used ON policies (used);
