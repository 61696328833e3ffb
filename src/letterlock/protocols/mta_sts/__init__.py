"""MTA-STS (RFC 8461): the TXT record, the policy file, matching MX hosts, and keeping policies."""
