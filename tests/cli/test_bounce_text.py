"""`letterlock queue bounce-text`, and what `config check` says of the texts."""

import json
from pathlib import Path

import pytest

from letterlock.cli.root import main
from letterlock.protocols.smtp.dsn_causes import DEFAULT_SENTENCES
from letterlock.protocols.smtp.dsn_report import Action


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    path = tmp_path / "letterlock.toml"
    path.write_text(
        f"""
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "{tmp_path}"
[bounce]
templates = "{tmp_path}/texts"
"""
    )
    return path


def run(config: Path, *words: str) -> int:
    return main(["queue", "bounce-text", "--config", str(config), *words])


@pytest.mark.parametrize("kind", Action)
def test_each_kind_is_shown(kind: Action, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, kind.value) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("From: Mail Delivery System <MAILER-DAEMON@mx1.example.org>\nSubject: ")
    assert "bob@example.com" in shown


def test_own_texts_and_causes_are_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = config.parent / "texts"
    (texts / "failed.txt").write_text("Subject: Zurück\n\nÄh: {size}\n")
    (texts / "causes.txt").write_text("mailbox-full: Voll bei {domain}.\n")
    assert run(config, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["subject"] == "Zurück"
    assert document["text"] == "Äh: 4.2 KiB\n"
    assert document["causes"] == list(DEFAULT_SENTENCES)
    assert run(config, "delayed", "--cause", "mailbox-full") == 0
    assert "Voll bei example.com." in capsys.readouterr().out


def test_a_mistake_is_told_with_its_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "texts" / "delayed.txt").write_text("Subject: x\n\n{nxt}\n")
    assert run(config, "delayed") == 1
    out, err = capsys.readouterr()
    assert "THIS IS A WARNING ONLY" in out
    assert "texts/delayed.txt:3: {nxt} is unknown here; there are {recipients}" in err
    assert main(["config", "check", "--config", str(config)]) == 2
    assert "texts/delayed.txt:3: {nxt} is unknown here" in capsys.readouterr().err


def test_a_cause_that_is_none_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "--cause", "weather") == 2
    assert "--cause weather: there is no-such-user, " in capsys.readouterr().err
