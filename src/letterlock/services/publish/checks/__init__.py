"""What is wrong with what is published: one module for each kind of record."""
