"""What the program does: each service is a verb of a message's life."""
