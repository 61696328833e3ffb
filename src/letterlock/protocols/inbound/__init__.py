"""Which hosts tell senders apart, what was seen of a sender there, and what it does by that.

Not asynchronous, and no I/O: sessions are facts, and what follows from them is a table.
"""
