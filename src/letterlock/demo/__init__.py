"""`letterlock demo`: two nodes, a name server and an authority on loopback, and what they do.

Read `play` first: it is the order of what is shown. Nothing on the screen is written beforehand but
the words around the facts, and every claim is checked against what happened.
"""

from letterlock.demo.play import run

__all__ = ["run"]
