"""MIME: the parts of a message, and what their header fields say."""
