"""What senders of each kind would make of a domain: facts from outside, and what follows.

`facts` are what was seen, `senders` the kinds of sender and their verdicts, by the code that
decides and judges deliveries.
"""
