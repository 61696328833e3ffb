"""The only sockets: DNS, TLS, SMTP."""
