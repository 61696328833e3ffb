"""What an authority decided and why, in a log that nobody changes unseen."""
