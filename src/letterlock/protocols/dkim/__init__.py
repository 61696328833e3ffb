"""DKIM: who answers for a message, proved by a signature over its fields and its body."""
