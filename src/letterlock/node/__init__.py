"""One node, built from its configuration and run: the only place that wires parts together."""

from letterlock.node.serving import serve

__all__ = ["serve"]
