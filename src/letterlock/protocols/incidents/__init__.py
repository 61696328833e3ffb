"""Lists of serial numbers: which certificates an incident affects, as authorities publish it."""
