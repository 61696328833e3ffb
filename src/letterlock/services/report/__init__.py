"""What TLS sessions came to goes to those who ask for it: one report for each day (RFC 8460)."""
