"""SMTP: commands, replies, sessions of both sides, messages' envelopes, DSNs."""
