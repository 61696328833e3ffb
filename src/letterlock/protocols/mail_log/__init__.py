"""What mail servers write into their logs of the mail that they send, read back.

`lines` takes a log apart, `postfix` and `exim` read what is said, `tying` joins Postfix's lines to
deliveries, `causes` is the closed list of what can have happened.
"""
