"""The protocol between a mail transfer agent and its mail filters (milters), version 6."""
