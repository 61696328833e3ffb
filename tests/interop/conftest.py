"""Tests that ask for `postfix_peer` run once with each Postfix; `rspamd` is one for all of them."""

from collections.abc import Iterator

import pytest

from tests.interop.postfix_instance import require_root
from tests.interop.rspamd_server import Rspamd, running_rspamd
from tests.peers import require_peer

POSTFIXES = ("postfix", "postfix-3.10")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.peer(name)) for name in POSTFIXES]
)
def postfix_peer(request: pytest.FixtureRequest) -> str:
    """Give the name in `tests.peers` of a Postfix that can be started here."""
    peer: str = request.param
    require_root(peer)
    return peer


@pytest.fixture(scope="session")
def rspamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rspamd]:
    """Run an rspamd with one rule, for all tests that mark it as their peer."""
    require_peer("rspamd")
    with running_rspamd(tmp_path_factory.mktemp("rspamd")) as server:
        yield server
