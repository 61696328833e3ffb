"""The queue in PostgreSQL, shared by many nodes; needs the extra `letterlock[cluster]`."""
