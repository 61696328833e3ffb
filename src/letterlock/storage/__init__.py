"""The only SQL, and the only files mail is kept in."""
