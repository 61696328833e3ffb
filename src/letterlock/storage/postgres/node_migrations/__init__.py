"""PostgreSQL migrations of the node's database."""
