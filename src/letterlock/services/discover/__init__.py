"""Discover: a next hop becomes its MX hosts and their addresses."""
