"""Explain: what TLS mail for a domain must have, how that came about, and whether it is there."""
