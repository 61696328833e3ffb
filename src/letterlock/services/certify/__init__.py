"""Get certificates from an ACME server: account, order, proofs, download; revoke them too."""
