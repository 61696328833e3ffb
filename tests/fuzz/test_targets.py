"""Every parser of what comes from outside has a target, and holds under chance and coverage."""

import ast
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import __main__ as command
from tests.fuzz import guidance, tlsrpt
from tests.fuzz.guidance import run_guided
from tests.fuzz.mutator import Finding, check, make_inputs, run_target
from tests.fuzz.target import Target, join_texts, split_ways, take_choices, take_texts
from tests.fuzz.targets import TARGETS
from tests.peers import MISSING, miss_peer

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "letterlock"
PARSER = re.compile(r"(?:parse|read|decode|find_plain)_\w+|\w+(?:Reader|Decoder|Buffer|Scan|Lines)")

NOT_FROM_OUTSIDE = {
    "SqliteQueueReader": "reads our own database, whose values `stored-record` has",
    "parse_notify": "reads our own database",
    "read_account_row": "reads our own database",
    "read_checked": "gives a member's octets, whose digest it compares",
    "read_beside": "reads our own database",
    "read_body": "reads our own database",
    "read_challenge_row": "reads our own database",
    "read_issued_row": "reads our own database",
    "read_policy": "reads our own database; the policy in it is parsed anew",
    "read_row": "reads our own database",
    "read_found": "reads our own database",
    "read_overviews": "reads our own database",
    "read_watched_row": "reads our own database",
    "read_user_row": "reads our own database",
    "read_states": "reads our own database",
    "read_served_row": "reads our own database; the policy in it is parsed anew",
    "read_messages": "gives a file's octets, or those of its mails, which `read_file` gets",
    "read_files": "reads files, whose octets `read_bundle` gets",
    "read_dsn": "takes a setting, which `urllib` reads; it is only checked",
    "read_trace": "reads our own log, for the demo",
    "parse_level": "is part of `parse_entry`",
    "parse_protocols": "is part of `parse_entry`",
    "parse_ciphers": "is part of `parse_entry`",
    "parse_mail_parameters": "is part of `parse_command`",
    "parse_rcpt_parameters": "is part of `parse_command`",
}
"""What has the name of a parser and no target of its own, and why."""


def defined_names() -> Iterator[str]:
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name


def used_names() -> Iterator[str]:
    """Give what the targets import, and the attributes that they use."""
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.Attribute):
                yield node.attr


def test_every_parser_has_a_target() -> None:
    """By their names: a new one must be called in a target, or be listed above with a reason."""
    parsers = {name for name in defined_names() if PARSER.fullmatch(name) and name[0] != "_"}
    assert sorted(parsers - set(used_names()) - NOT_FROM_OUTSIDE.keys()) == []
    assert sorted(NOT_FROM_OUTSIDE.keys() - parsers) == [], "listed, but not there any more"


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_what_chance_makes_of_its_seeds(name: str) -> None:
    target = TARGETS[name]
    runs = target.runs // 4
    assert run_target(target, runs=runs) == runs


@pytest.mark.proof
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_more_of_what_chance_makes(name: str) -> None:
    """From another seed: the inputs are not those of the short run."""
    target = TARGETS[name]
    runs = 4 * target.runs
    assert run_target(target, runs=runs, seed=1) == runs


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Octets of all kinds, words that mean something, and seeds with some of both put in."""
    parts = st.binary(max_size=12)
    if target.words:
        parts = st.sampled_from(target.words) | parts
    made = st.lists(parts, max_size=12).map(b"".join)

    @st.composite
    def damaged(draw: st.DrawFn) -> bytes:
        seed = draw(st.sampled_from(target.seeds))
        start = draw(st.integers(0, len(seed)))
        end = draw(st.integers(start, min(len(seed), start + 20)))
        return seed[:start] + draw(parts) + seed[end:]

    return (made | damaged()).map(lambda octets: octets[: target.max_octets])


FEW = 20 if settings().max_examples <= 100 else settings().max_examples
"""Of a target's examples: chance, and coverage, try far more in the same time. All in `proof`."""


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_a_target_holds_for_what_hypothesis_makes(name: str, data: st.DataObject) -> None:
    TARGETS[name].check(data.draw(inputs(TARGETS[name])))


def require_atheris() -> None:
    """Skip without it; with CI=true that fails, but where it has no wheel."""
    if guidance.is_here():
        return
    if platform.machine() == "x86_64" and sys.version_info < (3, 14):
        miss_peer(f"{MISSING}atheris: `make fuzzer` brings it")
    pytest.skip("Atheris has no wheel for this machine")


def test_targets_hold_for_what_coverage_guides_to(tmp_path: Path) -> None:
    """Those of one module: to prepare the whole program takes longer than all the runs."""
    require_atheris()
    found = dict(run_guided(tlsrpt.TARGETS, runs=200, kept=tmp_path, module=tlsrpt.__name__))
    assert len(found) == len(tlsrpt.TARGETS) > 5
    assert {target.name: said for target, said in found.items() if said} == {}


@pytest.mark.proof
def test_targets_hold_for_long() -> None:
    """What was found in earlier runs is what this one begins with (`.fuzz`)."""
    require_atheris()
    found = run_guided(list(TARGETS.values()), seconds=20)
    assert {target.name: said for target, said in found if said} == {}


def refuse_vowels(octets: bytes) -> None:
    """Nothing has an `e` behind a `b`."""
    assert b"be" not in octets


PLANTED = Target("planted", refuse_vowels, (b"abcdefgh",), (b"xyz",))


def test_a_planted_fault_is_found_by_chance_and_again_with_the_same_seed() -> None:
    findings = []
    for _ in range(2):
        with pytest.raises(Finding) as caught:
            run_target(PLANTED, runs=5000, seed=3)
        findings.append(caught.value.octets)
    assert findings[0] == findings[1]
    assert b"be" in findings[0]


def test_inputs_are_the_seeds_first_and_never_longer_than_the_target_takes() -> None:
    target = Target("short", refuse_vowels, (b"abc", b"def"), max_octets=5)
    made = make_inputs(target, 0)
    first = [next(made) for _ in range(500)]
    assert first[:3] == [b"", b"abc", b"def"]
    assert max(map(len, first)) == 5
    assert len(set(first)) > 300


def test_an_input_that_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.mutator.MAX_SECONDS", -1)
    with pytest.raises(Finding) as caught:
        check(PLANTED, b"")
    assert "of CPU" in str(caught.value.__cause__)


def test_a_run_ends_after_its_time() -> None:
    assert run_target(Target("x", len, (b"a",)), seconds=0) == 1  # type: ignore[arg-type]


def test_a_finding_is_kept_and_repeated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "planted", PLANTED)
    monkeypatch.setattr(command, "KEPT", tmp_path)
    assert command.main(["--by-chance", "--seconds", "60", "planted"]) == 1
    assert "FOUND" in capsys.readouterr().out
    (kept,) = (tmp_path / "planted").glob("crash-*")
    assert command.main(["--replay", str(kept), "planted"]) == 1
    assert 'assert b"be" not in octets' in capsys.readouterr().out
    kept.write_bytes(b"b e")
    assert command.main(["--replay", str(kept), "planted"]) == 0


def test_the_list_says_what_each_target_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(TARGETS)
    assert all(line.endswith((".", ";", ",")) or len(line) > 60 for line in lines)


def test_texts_and_choices_are_taken_from_octets() -> None:
    assert take_texts(join_texts("a", "é"), 3) == ["a", "é", ""]
    assert take_texts(b"a\xffb\xffc", 2) == ["a", "b\ufffdc"]
    assert take_choices(b"a", 2) == (b"a\0", b"")
    assert take_choices(b"abc", 1) == (b"a", b"bc")


@given(st.binary(max_size=40), st.integers(0, 255))
def test_pieces_are_the_whole(octets: bytes, choice: int) -> None:
    for pieces in split_ways(octets, choice):
        assert b"".join(pieces) == octets
