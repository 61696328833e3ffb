"""The operator's texts: which files are read, and what a mistake in one comes to."""

from pathlib import Path

import pytest

from letterlock.protocols.smtp.dsn_report import Action
from letterlock.protocols.smtp.dsn_templates import MAX_TEXT_OCTETS, NoticeTexts, default_notice
from letterlock.services.queue.notice_texts import load_notice_texts

GOOD = "Subject: Nicht zugestellt\n\nAn {recipients}.\n"


def test_without_a_folder_our_words_are_used() -> None:
    assert load_notice_texts(None).texts == NoticeTexts()


def test_each_kind_has_its_file(tmp_path: Path) -> None:
    for action in Action:
        (tmp_path / f"{action}.txt").write_text(f"Subject: {action}\n\nx\n")
    (tmp_path / "causes.txt").write_text("loop: Im Kreis.\n")
    (tmp_path / "README").write_text("not looked at")
    found = load_notice_texts(tmp_path)
    assert found.problems == ()
    assert {found.texts.find_notice(action).subject for action in Action} == {*Action}
    assert found.texts.find_sentence("loop") == "Im Kreis."


def test_what_is_not_there_is_said_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "failed.txt").write_text(GOOD)
    found = load_notice_texts(tmp_path)
    assert found.texts.find_notice(Action.FAILED).subject == "Nicht zugestellt"
    assert found.texts.find_notice(Action.DELAYED) == default_notice(Action.DELAYED)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("failed.txt", f"{GOOD}{{nobody}}\n", "failed.txt:4: {nobody} is unknown here"),
        ("causes.txt", "x: y\n", "causes.txt:1: there is no cause of the name x"),
        ("faild.txt", GOOD, "faild.txt: nothing has this name; there are causes.txt, delayed.txt"),
        ("failed.txt", "x" * (MAX_TEXT_OCTETS + 1), "failed.txt: is larger than"),
    ],
)
def test_a_file_with_a_mistake_is_told_and_not_used(
    name: str, content: str, problem: str, tmp_path: Path
) -> None:
    """Senders are told whatever happens here; `config check` and the log tell the operator."""
    (tmp_path / name).write_text(content)
    found = load_notice_texts(tmp_path)
    assert found.texts == NoticeTexts()
    assert len(found.problems) == 1
    assert found.problems[0].startswith(f"{tmp_path}/{problem}")


@pytest.mark.parametrize("target", ["gone.txt", "failed.txt"])
def test_a_link_that_leads_nowhere_is_told(tmp_path: Path, target: str) -> None:
    (tmp_path / "failed.txt").symlink_to(target)
    found = load_notice_texts(tmp_path)
    assert found.texts == NoticeTexts()
    assert found.problems == (f"{tmp_path}/failed.txt: is a link that leads nowhere",)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    found = load_notice_texts(tmp_path / "gone")
    assert found.problems == (
        f"{tmp_path}/gone: No such file or directory: bounce.templates must name a folder",
    )
    (tmp_path / "failed.txt").mkdir()
    assert load_notice_texts(tmp_path).problems == (f"{tmp_path}/failed.txt: is no file",)
