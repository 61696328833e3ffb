"""Joins an authority of our own from its settings: makes it, runs it, and speaks to its store."""
