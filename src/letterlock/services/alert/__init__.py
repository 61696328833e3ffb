"""What reports on TLS say is wrong is told to the postmaster: once, and when it is over."""
