"""PostgreSQL migrations of the authority."""
