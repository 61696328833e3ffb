"""`letterlock ca init`: what it writes and says, and what it refuses."""

import json
from pathlib import Path

import pytest

from letterlock.base.config.load import load_config
from letterlock.cli.root import main


def init(*words: str) -> int:
    return main(["ca", "init", *words])


def test_one_command_makes_settings_and_keys_and_says_what_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init("ca.example.org", "--dir", str(tmp_path), "--private", "--name", "House") == 0
    said = capsys.readouterr().out
    config = load_config(tmp_path / "letterlock.toml")
    assert config.hostname == "ca.example.org"
    assert config.ca.name == "House"
    assert config.ca.validation.private_names
    assert not config.ca.validation.needs_dnssec
    assert f"Then: letterlock ca serve --config {tmp_path}/letterlock.toml" in said
    assert "https://ca.example.org:14000/directory" in said
    assert "they are needed once a year for the root's CRL, and for a new issuing key." in said
    # A second time nothing changes.
    before = (tmp_path / "letterlock.toml").read_bytes()
    assert init("ca.example.org", "--dir", str(tmp_path)) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "letterlock.toml").read_bytes() == before


def test_the_answer_as_json_names_what_to_keep_safe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        'hostname = "ca.example.org"\ndomains = ["example.org"]\ncontact = "a@example.org"\n'
        'data_dir = "data"\n[dns]\nresolver = "127.0.0.1"\n'
    )
    assert init("--config", str(config), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    folder = tmp_path / "data" / "ca"
    assert document["config"] == str(config)
    assert document["directory"] == "https://ca.example.org:14000/directory"
    assert document["root"] == str(folder / "root.pem")
    assert document["keep_safe"] == [str(folder / "root.key"), str(folder / "root.passphrase")]
    assert len(document["files"]) == 6
    assert document["problem"] is None
    assert init("--config", str(config)) == 2
    assert "stays as it is: an authority is made" in capsys.readouterr().err


def test_what_it_could_not_be_started_with_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "own.toml"
    config.write_text(
        'hostname = "ca.example.org"\ndomains = ["example.org"]\ncontact = "a@example.org"\n'
        'data_dir = "data"\n[dns]\nresolver = "192.0.2.53"\n'
    )
    assert init("--config", str(config)) == 0
    said = capsys.readouterr().out
    assert "First: ca.validation.resolver: here: the word of 192.0.2.53:53 on DNSSEC" in said
    assert said.index("First: ") < said.index("Then: letterlock ca serve")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("no host",), "HOSTNAME 'no host': "),
        (("192.0.2.1",), "HOSTNAME '192.0.2.1': an address is no name"),
        (("ca.example.org", "--name", "a\nb"), r"--name 'a\nb': a text of printable"),
        (("ca.example.org", "--permit", "other.example"), "--permit: it must allow ca.example.org"),
        (("ca.example.org", "--permit", "a b"), "--permit 'a b': no network, and as a domain: "),
        (("ca.example.org", "--config", "x"), "--config has the settings: give no others"),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    folder = () if "--config" in words else ("--dir", str(tmp_path))
    assert init(*words, *folder) == 2
    assert reason in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names_that_it_is_for_are_settings(tmp_path: Path) -> None:
    words = ("--permit", "Example.org", "--permit", "10.0.0.0/8")
    assert init("ca.example.org", "--dir", str(tmp_path), *words) == 0
    names = load_config(tmp_path / "letterlock.toml").ca.names
    assert names.permitted_domains == ("example.org",)
    assert [str(each) for each in names.permitted_networks] == ["10.0.0.0/8"]
