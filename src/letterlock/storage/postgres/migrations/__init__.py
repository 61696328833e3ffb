"""PostgreSQL migrations of the queue."""
