"""SQLite migrations of the node's database."""
