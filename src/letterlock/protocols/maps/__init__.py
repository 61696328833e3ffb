"""Lookup tables over a connection, as Postfix asks them: socketmap_table(5) and tcp_table(5)."""
