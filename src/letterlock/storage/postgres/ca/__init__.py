"""The authority's store in PostgreSQL, which processes of several machines may share."""
