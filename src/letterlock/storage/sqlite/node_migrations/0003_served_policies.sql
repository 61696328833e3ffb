-- MTA-STS policies of our own domains: what was served, and until when at least. Others may keep to
-- each for its max_age from then on.
CREATE TABLE served_policies (
    domain TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    policy_text TEXT NOT NULL,
    served_from INTEGER NOT NULL,
    served_until INTEGER NOT NULL,
    held_until INTEGER NOT NULL, -- served_until and max_age
    PRIMARY KEY (domain, policy_id)
) STRICT, WITHOUT ROWID;
