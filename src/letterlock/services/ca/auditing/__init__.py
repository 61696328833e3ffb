"""The authority's own audit: what it issued rests on what it must, and its log is whole."""
