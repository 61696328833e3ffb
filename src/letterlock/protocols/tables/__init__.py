"""Postfix's tables as text files, what is looked up in them, and what aliases come to."""
