"""Files with serial numbers, and the index that makes looking one up quick."""
