"""An authority: whether it may issue, and whether who asks controls the names."""
