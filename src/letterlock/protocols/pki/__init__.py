"""Certificates: names in them, chains, keys, and how a throw-away CA makes them."""
