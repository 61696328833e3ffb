"""Facts with labels, for people: requirements, handshakes and verdicts, in the shapes of the JSON.

What the queue's stories and the explanations of a policy have in common. Everything that came from
outside is made printable.
"""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from letterlock.base.printable import make_printable

Document = Mapping[str, Any]
"""A command's answer in JSON, or a part of one."""

WIDTH = 76
"""Room is left in 80 columns for who quotes it."""
LABEL_WIDTH = 11


def format_requirement(requirement: Mapping[str, Any] | None) -> Iterator[str]:
    """Say what had to hold."""
    if not requirement:
        return
    level, source = requirement.get("level"), requirement.get("source")
    reason = requirement.get("reason")
    text = f"{level}" + (f" ({source})" if source else "") + (f": {reason}" if reason else "")
    yield from tell("required", text)
    for key, label in (("names", "names"), ("fingerprints", "fingerprints"), ("where", "entry")):
        if value := requirement.get(key):
            shown = value if isinstance(value, str) else ", ".join(map(str, value))
            yield from tell("", f"{label} {shown}")


def format_handshake(handshake: Mapping[str, Any] | None) -> Iterator[str]:
    """Say what a handshake gave: parameters, chain, faults."""
    if not handshake:
        return
    version = handshake.get("version")
    shown = [f"{version} {handshake.get('cipher')}" if version else "did not complete"]
    if group := handshake.get("group"):
        shown.append(f"group {group}")
    shown.append(f"SNI {handshake.get('sni') or 'none'}")
    if alert := handshake.get("alert"):
        shown.append(f"alert {alert}")
    yield from tell("handshake", ", ".join(shown))
    for depth, certificate in enumerate(handshake.get("chain") or ()):
        yield from tell("" if depth else "chain", _describe_certificate(depth, certificate))
    for error in handshake.get("errors") or ():
        depth = error.get("depth")
        place = "" if depth is None else f" at {depth}"
        yield from tell("fault", f"{error.get('code')}{place}: {error.get('text')}")


def _describe_certificate(depth: int, certificate: Mapping[str, Any]) -> str:
    names = certificate.get("names") or ()
    shown = [f"{depth} {certificate.get('subject')}"]
    if names:
        shown.append(f"names {', '.join(map(str, names))}")
    shown.append(f"issued by {certificate.get('issuer')}")
    shown.append(f"until {certificate.get('not_after')}")
    return "; ".join(shown)


def format_verdict(verdict: Mapping[str, Any] | None) -> Iterator[str]:
    """Say what it is worth."""
    if not verdict:
        return
    shown = f"{verdict.get('outcome')}"
    if result := verdict.get("result_type"):
        shown += f", {result} ({verdict.get('reason_code')})"
    if reason := verdict.get("reason"):
        shown += f": {reason}"
    yield from tell("verdict", shown)


def tell(label: str, text: str) -> Iterator[str]:
    """Give a fact, on as many lines as it needs; the label stands before the first."""
    head = f"  {label:{LABEL_WIDTH}}"
    lines = wrap(text, " " * len(head))
    first = next(lines, head.rstrip())
    yield (head + first.lstrip(" ")).rstrip()
    yield from lines


def wrap(text: str, indent: str) -> Iterator[str]:
    """Break a text into lines."""
    return iter(
        textwrap.wrap(
            make_printable(text),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    )
