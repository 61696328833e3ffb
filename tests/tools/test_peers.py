"""A test whose peer is not there is skipped and named; in CI it fails."""

from pathlib import Path

import pytest

from tests import peers
from tests.interop import postfix_instance

ROOT = Path(__file__).resolve().parent.parent.parent
TESTS = """
import pytest
from tests.peers import require_peer

@pytest.mark.peer("postfix")
def test_marked():
    pass

def test_asks():
    require_peer("postfix")

def test_other():
    pass
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> pytest.Pytester:
    """A test run of its own, on a machine where no peer is."""
    monkeypatch.setattr("tests.peers.find_program", lambda *_: None)
    pytester.makeini("[pytest]\nmarkers = peer\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(TESTS)
    return pytester


def test_the_tests_that_did_not_run_are_listed_by_name(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    result = run.runpytest_inprocess()
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "*not run: their peer is not there*",
            "postfix (no postfix, *make peers*",
            "*test_asks",
            "*test_marked",
        ]
    )


def test_in_ci_a_peer_that_is_not_there_is_a_failure(
    run: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    run.runpytest_inprocess().assert_outcomes(passed=1, failed=1, errors=1)


@pytest.mark.parametrize(
    ("ci", "end"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_where_postfix_cannot_start_its_tests_fail_in_ci_only(
    ci: str, end: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(end, match="peer not there: postfix"):
        postfix_instance.require_root()


@pytest.mark.parametrize(
    ("ci", "end"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_where_mounts_are_denied_the_tests_that_need_them_fail_in_ci_only(
    ci: str, end: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(peers, "_may_mount", lambda: False)
    with pytest.raises(end, match="peer not there: opensmtpd"):
        peers.require_mounts("opensmtpd")
