"""`letterlock ca new-issuer` and `root-crl`: what they write and say, and what they refuse."""

import json
from pathlib import Path

import pytest

from letterlock.base.config.load import load_config
from letterlock.cli.root import main
from letterlock.node.ca.keys import load_issuers

CRLS = "http://ca.example.org:14080/crl/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an authority."""
    folder = tmp_path_factory.mktemp("authority")
    assert main(["ca", "init", "ca.example.org", "--dir", str(folder), "--private"]) == 0
    return folder


def ask(folder: Path, command: str, *words: str) -> int:
    keys = folder / "data" / "ca"
    root = ("--key", keys / "root.key", "--passphrase-file", keys / "root.passphrase")
    options = ("--config", folder / "letterlock.toml", *root)
    return main(["ca", command, *map(str, options), *words])


def test_what_is_said_is_a_setting_that_works(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert ask(folder, "new-issuer", "second", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    keys = folder / "data" / "ca"
    assert answer["files"] == [str(keys / f"second.{end}") for end in ("pem", "key", "passphrase")]
    assert answer["setting"] == "issuers"
    assert ask(folder, "new-issuer", "cross", "--json", "--certify", str(keys / "second.pem")) == 0
    cross = json.loads(capsys.readouterr().out)
    assert (cross["setting"], cross["files"]) == ("alternates", [str(keys / "cross.pem")])
    settings = (folder / "letterlock.toml").read_text()
    both = answer["value"].replace(" },", f", alternates = {cross['value']} }},", 1)
    changed = folder / "changed.toml"
    changed.write_text(settings.replace("[ca]\n", f"[ca]\nissuers = {both}\n", 1))
    new, old = load_issuers(load_config(changed).ca, CRLS)
    assert [len(each.authority.chains) for each in (new, old)] == [2, 1]
    assert new.authority.key_identifier != old.authority.key_identifier
    assert ask(folder, "new-issuer", "third") == 0
    said = capsys.readouterr().out
    assert "Take the root's key away again" in said
    assert f'key = "{keys / "third.key"}"' in said


@pytest.mark.parametrize("name", ["../x", "", "a b", "ä", "second"])
def test_a_name_is_a_files_and_a_new_one(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data" / "ca" / "second.pem").touch()
    assert ask(folder, "new-issuer", "--", name) == 2
    assert capsys.readouterr().err.startswith("letterlock: ")


def test_an_authority_is_revoked_by_its_root(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    issuing = str(folder / "data" / "ca" / "issuing.pem")
    assert ask(folder, "root-crl", "--revoke", issuing, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert ask(folder, "root-crl", "--revoke", issuing) == 2
    assert "is revoked already" in capsys.readouterr().err
    assert ask(folder, "root-crl") == 0
    assert f"CRL {first['number'] + 1} of the root counts until" in capsys.readouterr().out
