"""Filters see a message before it is stored: what they are asked, and what they answer."""
