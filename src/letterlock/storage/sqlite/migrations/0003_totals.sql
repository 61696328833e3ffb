-- How much waits, kept by every commit that changes it: counting a million recipients takes a
-- second, and a look at the queue must cost the same whatever is in it.

CREATE TABLE totals (
    messages INTEGER NOT NULL,   -- not finished
    bytes INTEGER NOT NULL,      -- of theirs
    waiting INTEGER NOT NULL     -- recipients, queued or held
) STRICT;

INSERT INTO totals (messages, bytes, waiting)
SELECT count(*), coalesce(sum(size), 0),
    (SELECT count(*) FROM recipients WHERE state IN ('queued', 'held'))
FROM messages WHERE finished IS NULL;

CREATE INDEX recipients_held ON recipients (state) WHERE state = 'held';
