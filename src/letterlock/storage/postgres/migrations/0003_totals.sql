-- How much waits: every transaction that changes it adds a row, now and then they are added up. One
-- row that all change would be a lock that all wait for; counting a million messages takes seconds.

CREATE TABLE totals (
    messages BIGINT NOT NULL,    -- not finished
    bytes BIGINT NOT NULL,       -- of theirs
    waiting BIGINT NOT NULL      -- recipients, queued or held
);

INSERT INTO totals (messages, bytes, waiting)
SELECT count(*), coalesce(sum(size), 0),
    (SELECT count(*) FROM recipients WHERE state IN ('queued', 'held'))
FROM messages WHERE finished IS NULL;

CREATE INDEX recipients_held ON recipients (state) WHERE state = 'held';
