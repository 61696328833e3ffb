"""SQLite migrations of the authority."""
