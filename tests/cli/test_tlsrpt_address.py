"""`letterlock tlsrpt address`: the addresses for reports by HTTPS, to be published."""

import json
from pathlib import Path

import pytest

from letterlock.cli.root import main
from letterlock.node.posts import find_address
from tests.node.test_posts import DOMAIN, POSTS, make_config

Run = tuple[int, str, str]


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str, text: str = "") -> Run:
    head = f"""
hostname = "mx1.example.org"
domains = ["example.org", "example.net"]
contact = "postmaster@example.org"
data_dir = "{folder}"
"""
    text = text or f"{POSTS}enabled = true"
    (folder / "letterlock.toml").write_text(head + text)
    code = main(["tlsrpt", "address", *arguments, "--config", f"{folder}/letterlock.toml"])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_each_domain_has_its_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines, _ = run(tmp_path, capsys)
    address = find_address(make_config(tmp_path), DOMAIN)
    assert code == 0
    first, second = lines.splitlines()
    assert first == f"example.org  {address}"
    assert second.startswith("example.net  https://mx1.example.org/tlsrpt/example.net/")
    code, document, _ = run(tmp_path, capsys, "Example.ORG", "--json")
    assert (code, json.loads(document)) == (
        0,
        {"addresses": [{"domain": "example.org", "uri": address}]},
    )


@pytest.mark.parametrize(
    ("arguments", "text", "code", "reason"),
    [
        (("other.example",), "", 2, "other.example is not in `domains`"),
        (("a..b",), "", 2, "DOMAIN 'a..b'"),
        ((), "[tlsrpt]\nreports = true", 3, "set `enabled = true` in [tlsrpt.posts]"),
    ],
)
def test_what_has_none_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
    code: int,
    reason: str,
) -> None:
    found, _, error = run(tmp_path, capsys, *arguments, text=text)
    assert (found, reason in error) == (code, True)


def test_a_secret_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tlsrpt-posts.key").write_text("short")
    code, _, error = run(tmp_path, capsys)
    assert (code, "20 characters" in error) == (3, True)
