"""What every test gets: its peers are looked for, and those that were not there are listed."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.dnssec_lab.lab import DnssecLab, running_lab
from tests.peers import MISSING, require_peer
from tests.storage.postgres_server import PostgresServer, postgres_server

pytest_plugins = ["pytester"]

# How long one example takes says more of the machine's other work than of ours. `make test` sees if
# a property still holds; `make proof` and `make fuzz` look for what breaks it.
settings.register_profile("test", deadline=None, max_examples=40)
settings.register_profile("proof", deadline=None, max_examples=10_000)
settings.load_profile("test")


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let commands keep nothing in the home of who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Give a server of our own, for all tests that need one."""
    require_peer("postgresql")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def dnssec_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DnssecLab]:
    """Give signed zones and a validating resolver, for tests without zones of their own."""
    require_peer("nsd", "unbound", "ldns")
    with running_lab(tmp_path_factory.mktemp("dnssec")) as lab:
        yield lab


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless they are asked for: by `-m`, or by name."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    long = [item for item in items if item.get_closest_marker("proof")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("peer"):
        require_peer(*mark.args)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List by name the tests that did not run because a peer is not there."""
    skipped = [
        (report.nodeid, reason)
        for report in terminalreporter.stats.get("skipped", [])
        if (reason := _skip_reason(report)).startswith(MISSING)
    ]
    if not skipped:
        return
    terminalreporter.section("not run: their peer is not there")
    for reason in sorted({reason for _, reason in skipped}):
        terminalreporter.write_line(reason.removeprefix(MISSING))
        for nodeid in sorted(nodeid for nodeid, other in skipped if other == reason):
            terminalreporter.write_line(f"    {nodeid}")


def _skip_reason(report: pytest.TestReport) -> str:
    """Give why a test was skipped; pytest holds it as (file, line, "Skipped: ...")."""
    if not isinstance(report.longrepr, tuple):
        return ""
    return report.longrepr[2].removeprefix("Skipped: ")
