"""ACME as the server sees it: what it decides of requests, over facts that others fetched."""
