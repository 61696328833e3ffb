"""What a test says of a sender, as lines for people and as one page of HTML without scripts.

All that a client said is made harmless here: lines hold printable ASCII, the page holds text only.
Both are made of the document, and so say nothing that it does not say.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from letterlock.protocols.inbound.document import QUESTIONS, STATES

MAX_LINE_CHARACTERS = 990
"""RFC 5322 §2.1.1: 998."""
_MARKS = {"yes": "yes", "no": "no", "sometimes": "sometimes", "unknown": "not known"}
_STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:60em}"
    "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3em .6em;text-align:left}"
)


def format_addresses(document: Mapping[str, Any]) -> list[str]:
    """Say where to send, and until when."""
    lines = [f"Test {document['token']}, until {document['expires']}. Send a mail to each:"]
    width = max((len(each["address"]) for each in document["addresses"]), default=0)
    lines += [f"  {each['address']:{width}}  {each['fault']}" for each in document["addresses"]]
    if document["page"] is not None:
        lines.append(f"What was seen: {document['page']}")
    return lines


def format_result(document: Mapping[str, Any]) -> list[str]:
    """Say what the sender does, and what that rests on."""
    lines = [f"How mail for test {document['token']} was sent", ""]
    lines += [*_format_answers(document), "", *_format_cases(document)]
    if document["unplaced"]:
        lines += [
            "",
            f"{document['unplaced']} more sessions left without saying which host they meant.",
        ]
    if document["page"] is not None:
        lines += ["", f"All sessions, until {document['expires']}: {document['page']}"]
    return [make_printable(line) for line in lines]


def format_page(document: Mapping[str, Any]) -> str:
    """Write the page."""
    title = escape(f"How mail for test {document['token']} was sent")
    answers = "".join(
        _row(QUESTIONS[each["question"]], _MARKS[each["answer"]], each["evidence"])
        for each in document["answers"]
    )
    cases = "".join(
        _row(each["case"], each["fault"], STATES[each["outcome"]], ", ".join(_list_details(each)))
        for each in document["cases"]
    )
    sessions = "".join(_format_session(each) for each in document["sessions"])
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="robots" content="noindex"><style>{_STYLE}</style></head><body>'
        f"<h1>{title}</h1><p>Until {escape(document['expires'])}.</p>"
        f"<h2>The sender</h2><table>{answers}</table>"
        f"<h2>The hosts</h2><table>{cases}</table>"
        f"<h2>The sessions</h2><table>{_head()}{sessions}</table>"
        "</body></html>\n"
    )


def make_printable(text: str) -> str:
    """Give printable ASCII, at most as much as a mail's line holds: anything else becomes `?`."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[:MAX_LINE_CHARACTERS])


def _format_answers(document: Mapping[str, Any]) -> Iterator[str]:
    width = max(map(len, QUESTIONS.values()))
    for each in document["answers"]:
        mark = _MARKS[each["answer"]]
        yield f"  {QUESTIONS[each['question']]:{width}}  {mark:9}  {each['evidence']}"


def _format_cases(document: Mapping[str, Any]) -> Iterator[str]:
    for each in document["cases"]:
        yield f"  {each['case']:12} {each['fault']}: {STATES[each['outcome']]}"
        if details := ", ".join(_list_details(each)):
            yield f"  {'':12} {details}"


def _list_details(case: Mapping[str, Any]) -> Iterator[str]:
    yield from (*case["versions"], *case["ciphers"], *case["groups"])
    if case["sni"]:
        yield f"SNI {' '.join(case['sni'])}"
    if case["without_sni"]:
        yield f"no SNI in {case['without_sni']}"
    yield from case["failures"]


def _format_session(seen: Mapping[str, Any]) -> str:
    tls = " ".join(filter(None, (seen["version"], seen["cipher"], seen["group"])))
    notes = [seen["failure"] or ""]
    notes += ["REQUIRETLS"] if seen["requiretls"] else []
    notes += ["by its client only"] if seen["guessed"] else []
    return _row(
        seen["started"],
        f"{seen['hello']} [{seen['ip']}]",
        ", ".join(seen["cases"]) or "not said",
        ", ".join(seen["delivered"]) or "nothing",
        tls or "clear",
        seen["sni"] or "none",
        ", ".join(filter(None, notes)),
    )


def _head() -> str:
    names = ("began", "client", "host", "delivered", "TLS", "SNI", "")
    return f"<tr>{''.join(f'<th>{each}</th>' for each in names)}</tr>"


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in cells)}</tr>"
