"""Tests that ask for `postfix_peer` run once with each Postfix."""

import pytest

from tests.interop.postfix_instance import require_root

POSTFIXES = ("postfix", "postfix-3.10")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.peer(name)) for name in POSTFIXES]
)
def postfix_peer(request: pytest.FixtureRequest) -> str:
    """Give the name in `tests.peers` of a Postfix that can be started here."""
    peer: str = request.param
    require_root(peer)
    return peer
