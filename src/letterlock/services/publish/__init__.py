"""What our own domains publish: the records to have, what is wrong with those that are there."""
