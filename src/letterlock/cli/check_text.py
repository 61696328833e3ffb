"""A check for people: the worst first, on one screen; colours only on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letterlock.base.counts import format_count
from letterlock.base.printable import make_printable
from letterlock.cli.check_besides import tell_besides, tell_renewal
from letterlock.cli.check_deep import summarize_deep
from letterlock.cli.check_said import list_said
from letterlock.cli.story_text import Document, tell

MAX_FINDINGS = 12
MAX_EVIDENCE = 240
EVERYBODY = "every kind of sender"

Styled = tuple[str, dict[str, Any]]

_STYLES: Mapping[str, dict[str, Any]] = {
    "critical": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow"},
    "defer": {"fg": "red"},
    "bounce": {"fg": "red"},
    "clear": {"fg": "yellow"},
    "authenticated": {"fg": "green"},
}
_WORDS = {
    "authenticated": "arrives, verified",
    "encrypted": "arrives, encrypted",
    "clear": "arrives in CLEAR",
    "defer": "WAITS",
    "bounce": "is RETURNED",
    "undecidable": "not known",
}
_FROM_ITSELF = (
    "one of the hosts is this very one: what a firewall keeps from others is not seen from here"
)
_FAILED = ("defer", "bounce", "undecidable")


def format_check(document: Document, *, is_verbose: bool = False) -> Iterator[Styled]:
    """Tell what senders would meet, what is wrong, and what was seen.

    `is_verbose`: and of each connection when it was, how long it took, and what was said.
    """
    yield make_printable(document["domain"]), {"bold": True}
    if document.get("asked_from_itself"):
        yield from _plain(tell("note", _FROM_ITSELF))
    yield from _tell_verdicts(document["verdicts"])
    shown = [each for each in document["findings"] if each["severity"] != "info"]
    for finding in shown[:MAX_FINDINGS]:
        yield from _tell_finding(finding)
    if len(shown) > MAX_FINDINGS:
        yield from _plain(tell("", f"and {len(shown) - MAX_FINDINGS} more; --json has them all"))
    infos = [each["id"] for each in document["findings"] if each["severity"] == "info"]
    if infos:
        yield from _plain(tell("info", ", ".join(dict.fromkeys(infos))))
    for host in document["hosts"]:
        yield from _tell_host(host, is_verbose=is_verbose)
    yield from _plain(tell_besides(document))
    if "diff" in document:
        yield from _tell_difference(document["diff"])
    if document["undecided"]:
        yield from _plain(tell("not asked", "; ".join(document["undecided"][:3])))


def _tell_difference(difference: Document | None) -> Iterator[Styled]:
    if difference is None:
        yield from _plain(tell("diff", "there is no earlier run to compare with"))
        return
    ways: dict[str, list[str]] = {}
    for each in difference["verdicts"]:
        ways.setdefault(f"{each['before']} -> {each['now']}", []).append(each["sender"])
    texts = [f"{', '.join(senders)}: {way}" for way, senders in ways.items()]
    for word in ("new", "gone", "changed"):
        texts += [f"{word}: {each['id']} at {each['where']}" for each in difference[word]]
    for number, text in enumerate(texts or ["nothing is different"]):
        since = f" (since {difference['since']})" if not number else ""
        yield from _plain(tell("" if number else "diff", _shorten(f"{text}{since}")))


def _tell_verdicts(verdicts: Sequence[Document]) -> Iterator[Styled]:
    """Tell whose mail arrives; where nobody's does, and for one reason, that is told once."""
    told = {tuple(_tell_verdict({**each, "who": EVERYBODY})) for each in verdicts}
    is_one = len(verdicts) > 1 and len(told) == 1 and verdicts[0]["outcome"] in _FAILED
    for verdict in verdicts if not is_one else [{**verdicts[0], "who": EVERYBODY}]:
        yield from ((line, _STYLES.get(verdict["outcome"], {})) for line in _tell_verdict(verdict))


def _tell_verdict(verdict: Document) -> Iterator[str]:
    outcome = verdict["outcome"]
    text = f"{verdict['who']}: {_WORDS[outcome]}"
    if outcome not in ("authenticated", "encrypted"):
        text += f": {verdict['reason']}"
    if verdict["result_type"] and outcome in ("defer", "bounce"):
        text += f" (reports {verdict['result_type']})"
    yield from tell("mail", _shorten(text))


def _tell_finding(finding: Document) -> Iterator[Styled]:
    style = _STYLES.get(finding["severity"], {})
    text = f"{finding['id']} at {finding['where']}: {finding['evidence']}"
    yield from ((line, style) for line in tell(finding["severity"], _shorten(text)))
    if finding["fix"]:
        yield from _plain(tell("", f"to do: {finding['fix']}"))


def _tell_host(host: Document, *, is_verbose: bool) -> Iterator[Styled]:
    for address in host["addresses"]:
        place = f"{host['name'] or 'the domain itself'} {address['ip']}"
        yield from _plain(tell("host", f"{place}: {address['state']}, {address['detail']}"))
        if address.get("deep") is not None:
            yield from _plain(tell("", _shorten(f"deep: {summarize_deep(address['deep'])}")))
        for course, lines in list_said(address) if is_verbose else ():
            yield from _plain(tell("", course))
            for line in lines:
                yield from _plain(tell("", f"  {line}"))
    if not host["addresses"]:
        yield from _plain(tell("host", f"{host['name']}: {host['error'] or 'no address'}"))
    if host["tlsa"]:
        records = format_count(len(host["tlsa"]), "record")
        yield from _plain(tell("", f"TLSA ({host['tlsa_status']}): {records}"))
    yield from _plain(tell_renewal(host))


def _plain(lines: Iterator[str]) -> Iterator[Styled]:
    return ((line, {}) for line in lines)


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_EVIDENCE else f"{text[:MAX_EVIDENCE]}..."
