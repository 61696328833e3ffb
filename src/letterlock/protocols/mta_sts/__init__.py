"""MTA-STS (RFC 8461): the record, the policy file, and which MX hosts it lists."""
