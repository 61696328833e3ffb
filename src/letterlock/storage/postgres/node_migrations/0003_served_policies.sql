-- MTA-STS policies of our own domains: what was served, and until when at least. Others may keep to
-- each for its max_age from then on.
CREATE TABLE served_policies (
    domain TEXT COLLATE "C" NOT NULL,
    policy_id TEXT COLLATE "C" NOT NULL,
    policy_text TEXT NOT NULL,
    served_from BIGINT NOT NULL,
    served_until BIGINT NOT NULL,
    held_until BIGINT NOT NULL,  -- served_until and max_age
    PRIMARY KEY (domain, policy_id)
);
