"""The SQL of the authority's store, once for both engines: scripts that ask, and are answered."""
