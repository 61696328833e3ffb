"""`letterlock table query`: exit codes, the document, the story."""

import json
from pathlib import Path
from typing import Any

import pytest

from letterlock.cli.root import main
from letterlock.cli.table_query import QUERY_KEYS, TYPES
from letterlock.services.redirect.tables import FILE_SETTINGS

ALIASES = "root: alice, team\nteam: bob@far.test\nloop: pool\npool: loop\npipe: |cmd\n"
VIRTUAL = "v@example.org root@example.org\n@gone.test :include:/x\n"
CONFIG = """
hostname = "mx.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "data"
[maps]
aliases = "names"
virtual = "virtual"
transport = "ways"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("letterlock.base.config.load.SYSTEM_CONFIG", tmp_path / "none.toml")
    (tmp_path / "names").write_text(ALIASES)
    (tmp_path / "virtual").write_text(VIRTUAL)
    (tmp_path / "ways").write_text(".example.org smtp:[mx.test]\n")
    return tmp_path


@pytest.fixture
def configured(folder: Path) -> Path:
    (folder / "letterlock.toml").write_text(CONFIG)
    return folder


def ask(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["table", "query", *words, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(document) == {key.partition(".")[0].removesuffix("[]") for key in QUERY_KEYS}
    return document


def test_types_are_the_keys_of_the_settings() -> None:
    assert TYPES == FILE_SETTINGS


@pytest.mark.usefixtures("configured")
def test_the_settings_say_what_a_file_is(capsys: pytest.CaptureFixture[str]) -> None:
    document = ask(capsys, "names", "root")
    assert document["type"] == "aliases"
    assert document["tried"] == [{"key": "root", "found": True}]
    assert (document["where"], document["value"]) == ("names:1", "alice, team")
    assert document["destinations"] == ["alice@example.org", "bob@far.test"]
    assert [step["key"] for step in document["steps"]] == ["root", "team"]
    assert document["problems"][0].startswith("names:5: pipe: a command (|cmd) is not run")


@pytest.mark.usefixtures("configured")
def test_the_other_tables_count_for_what_an_address_comes_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = ask(capsys, "virtual", "V+tag@example.org")
    assert [tried["key"] for tried in document["tried"]] == ["v+tag@example.org", "v@example.org"]
    assert document["destinations"] == ["alice@example.org", "bob@far.test"]


@pytest.mark.usefixtures("configured")
def test_the_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "query", "names", "root+x"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "names (aliases)",
        "  root+x  nothing",
        "  root    line 1: alice, team",
        "step by step:",
        f"  root+x@example.org  {Path('names')}:1  root -> alice, team",
        "  team@example.org  names:2  team -> bob@far.test",
        "comes to:",
        "  alice@example.org",
        "  bob@far.test",
    ]
    assert said.err.startswith("letterlock: note: names:5: pipe:")


@pytest.mark.usefixtures("configured")
def test_a_circle_is_bad_news(capsys: pytest.CaptureFixture[str]) -> None:
    document = ask(capsys, "names", "loop@example.org", code=1)
    circle = ["loop@example.org", "pool@example.org", "loop@example.org"]
    assert document["circle"] == circle
    assert document["destinations"] is None
    assert main(["table", "query", "names", "loop"]) == 1
    assert f"mail for it waits: aliases go in a circle: {' -> '.join(circle)}" in (
        capsys.readouterr().out
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("virtual", "v@example.org"), 0),
        (("virtual", "nobody@example.org"), 1),
        (("virtual", "any@gone.test"), 1),
        (("names", "pipe", "--type", "aliases"), 1),
        (("names", "nobody", "--type", "aliases"), 1),
        (("ways", "a@sub.example.org", "--type", "transport"), 0),
        (("ways", "example.org", "--type", "transport"), 1),
        (("names", "root"), 2),
        (("missing", "root", "--type", "aliases"), 2),
        (("virtual", "a@-"), 2),
        (("virtual", "a@x", "--type", "nothing"), 2),
        ((".", "root", "--type", "aliases"), 3),
    ],
)
def test_exit_codes(words: tuple[str, ...], code: int) -> None:
    assert main(["table", "query", *words]) == code


@pytest.mark.usefixtures("folder")
def test_without_settings_the_domain_that_is_asked_about_is_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = ask(capsys, "names", "root@mine.test", "--type", "aliases")
    assert document["destinations"] == ["alice@mine.test", "bob@far.test"]


def test_many_problems_are_told_in_part(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "aliases").write_text("a: b\n" + "nonsense\n" * 30)
    assert main(["table", "query", "aliases", "a"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "letterlock: note: 10 more such lines; --json has them all"
