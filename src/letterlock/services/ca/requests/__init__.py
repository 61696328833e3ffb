"""What clients of an authority ask for by ACME: a verb for each resource (RFC 8555 §7).

A verb reads facts from the store, lets `protocols.acme.server` decide, and commits what that comes
to; where somebody changed the same meanwhile, it reads and decides again.
"""
