"""What every test gets: its peers are looked for, and those that were not there are listed."""

import pytest

from tests.peers import MISSING, require_peer


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
