"""How rspamd is asked over HTTP, and what it answers."""
