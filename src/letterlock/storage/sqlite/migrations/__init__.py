"""SQLite migrations of the queue."""
