"""The authority's private keys: in encrypted files, or in a PKCS#11 token."""
