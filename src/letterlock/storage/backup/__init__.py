"""Backups as files: one archive with all that a node keeps, and a manifest at its end."""
