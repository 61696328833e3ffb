"""A commented letterlock.toml: every setting with its text and its default.

Made from `describe`, so it can't say anything but what the loader reads.
"""

import textwrap
from collections.abc import Iterator, Mapping

from letterlock.base.config.describe import SectionText, Setting, describe_sections, format_toml

_WIDTH = 96
_HEAD = """\
Letterlock reads this file. The first four keys must be given; a key that begins with # has its
default. `letterlock config check` finds mistakes; SIGHUP makes a running node read it again.
Durations: "90s", "5m", "4h", "5d". Sizes: "512KiB", "50MiB". Relative paths start here."""

_HOPS = """\
# [policy.hops."example.com"]
# level = "verify"
# match = ["hostname"]
"""


def format_example(given: Mapping[str, object], *, only: str | None = None) -> str:
    """Write the file. `given` holds the keys that are set, as `section.key`, and their values.

    `only` is a section: beside the first keys there are then that one and those below it.
    """
    unused = set(given)
    parts = [_comment(_HEAD)]
    for section in describe_sections():
        if only is not None and section.name.partition(".")[0] not in ("", only):
            continue
        parts.append(_format_section(section, given))
        unused -= {_full_name(section, setting) for setting in section.settings}
    if unused:
        raise ValueError(f"no such settings: {', '.join(sorted(unused))}")
    return "\n".join(parts)


def _format_section(section: SectionText, given: Mapping[str, object]) -> str:
    lines = []
    if section.name:
        lines += [f"[{section.name}]", _comment(section.text).rstrip("\n")]
    for setting in section.settings:
        lines += _format_setting(section, setting, given)
    return "\n".join(lines) + "\n"


def _format_setting(
    section: SectionText, setting: Setting, given: Mapping[str, object]
) -> Iterator[str]:
    yield ""
    yield _comment(setting.text).rstrip("\n")
    name = _full_name(section, setting)
    if name in given:
        yield f"{setting.name} = {format_toml(given[name])}"
    elif name == "policy.hops":
        yield _HOPS.rstrip("\n")
    elif setting.default is None:
        raise ValueError(f"{name} must be given")
    else:
        yield f"# {setting.name} = {setting.default}"


def _full_name(section: SectionText, setting: Setting) -> str:
    return f"{section.name}.{setting.name}" if section.name else setting.name


def _comment(text: str) -> str:
    lines = textwrap.wrap(" ".join(text.split()), _WIDTH, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)
