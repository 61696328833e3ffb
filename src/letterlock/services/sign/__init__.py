"""Signs mail of our domains (DKIM), so that others can tell it from forged mail."""
