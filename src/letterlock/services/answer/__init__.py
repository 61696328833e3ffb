"""Answering a Postfix: which TLS mail to a destination must have."""
