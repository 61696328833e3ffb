"""Generators and checks of the repository: run each as `python -m tools.<name>` from its root."""
