"""Is a certificate affected by an incident: files and live hosts against a list of serials."""
