"""Where an address's mail goes instead: aliases, ways and relaying, from tables in files."""
