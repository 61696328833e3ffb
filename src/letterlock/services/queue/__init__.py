"""The queue's decisions: when to retry, when to warn, when to give up, what the bounce says."""
