"""The authority's store in one SQLite file, which several processes of a machine may share."""
