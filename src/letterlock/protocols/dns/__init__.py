"""DNS answers as facts: records, DNSSEC state, and why."""
