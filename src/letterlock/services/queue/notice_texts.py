"""The operator's texts for notifications: files in a folder.

A file with a mistake in it is not used: what it would say is said in our words, so that senders are
told whatever happens here.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from letterlock.base.presence import is_absent
from letterlock.protocols.smtp.dsn_report import Action
from letterlock.protocols.smtp.dsn_templates import (
    MAX_TEXT_OCTETS,
    NoticeText,
    NoticeTexts,
    TextError,
    parse_notice_text,
    parse_sentences,
)

CAUSES_FILE = "causes.txt"
FILE_NAMES = (*(f"{action}.txt" for action in Action), CAUSES_FILE)
"""All that a folder of texts may have."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class FoundTexts:
    """The texts, and what is wrong with their files: one line for each, with file and line."""

    texts: NoticeTexts
    problems: tuple[str, ...] = ()


def load_notice_texts(folder: Path | None) -> FoundTexts:
    """Read the files of a folder; None: there are none."""
    if folder is None:
        return FoundTexts(NoticeTexts())
    problems = _find_strangers(folder)
    notices: dict[Action, NoticeText] = {}
    for action in Action:
        if (text := _read(folder / f"{action}.txt", parse_notice_text, problems)) is not None:
            notices[action] = text
    sentences = _read(folder / CAUSES_FILE, parse_sentences, problems)
    return FoundTexts(NoticeTexts(notices, sentences or {}), tuple(problems))


def _find_strangers(folder: Path) -> list[str]:
    """Find files that nothing asks for: their names may be wrong."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".txt")
    except OSError as error:
        return [f"{folder}: {error.strerror}: bounce.templates must name a folder"]
    return [
        f"{folder / name}: nothing has this name; there are {', '.join(sorted(FILE_NAMES))}"
        for name in names
        if name not in FILE_NAMES
    ]


def _read(path: Path, parse: Callable[[bytes], Parsed], problems: list[str]) -> Parsed | None:
    try:
        if path.is_symlink() and not path.exists():
            problems.append(f"{path}: is a link that leads nowhere")
            return None
        if is_absent(path):
            return None
        if not stat.S_ISREG(path.stat().st_mode):
            problems.append(f"{path}: is no file")
            return None
        with path.open("rb") as file:
            return parse(file.read(MAX_TEXT_OCTETS + 1))
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    except TextError as error:
        problems += [
            f"{path}:{fault.line}: {fault.message}" if fault.line else f"{path}: {fault.message}"
            for fault in error.faults
        ]
    return None
