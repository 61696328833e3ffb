"""One node, built from its configuration and run: the only place that wires parts together.

Nothing is imported here: each command takes the parts that it needs, and starts the sooner.
"""
