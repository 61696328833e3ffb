"""Checking any domain as its senders see it: looked up, asked politely, judged as deliveries."""
