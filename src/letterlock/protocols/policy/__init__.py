"""What TLS a hop must have, and whether a handshake met it."""
