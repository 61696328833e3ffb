"""What the RFCs say, as pure code: no I/O, no clock, no randomness."""
