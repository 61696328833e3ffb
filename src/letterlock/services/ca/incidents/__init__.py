"""Incidents of an authority: certificates that are wrong are found, told, replaced and revoked."""
