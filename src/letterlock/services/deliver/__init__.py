"""Deliver: a claim becomes connections, replies, and an outcome for each recipient."""
