"""ACME: how certificates are asked for, as the client sees it (RFC 8555 and what stands on it)."""
