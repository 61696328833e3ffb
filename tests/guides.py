"""The settings that a page of docs/guide shows, for tests that give them to the programs."""

import re
from pathlib import Path

_GUIDES = Path(__file__).parent.parent / "docs" / "guide"


def settings_of(page: str, language: str) -> list[str]:
    """Give the blocks of a language, such as `toml`, that a page shows."""
    text = (_GUIDES / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
