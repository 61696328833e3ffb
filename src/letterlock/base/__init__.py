"""The words every floor uses: domain names, the clock, configuration, the log."""
