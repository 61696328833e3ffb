"""Receive: an SMTP session becomes a stored message, then the 250."""
