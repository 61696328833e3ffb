"""The HTTP of an authority."""
