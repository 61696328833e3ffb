"""Discover: a next hop becomes its MX hosts, their addresses, and what it publishes of TLS."""
