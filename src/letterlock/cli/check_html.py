"""A check as one HTML file: no scripts, nothing loaded from elsewhere, and it prints well.

Everything in it came from outside and is escaped here, once; the policy in the page's head keeps a
browser from running anything even if it were not.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from letterlock.base.printable import make_printable
from letterlock.cli.check_besides import list_renewal_rows
from letterlock.cli.check_deep import list_deep_rows
from letterlock.cli.check_dnssec import list_chain_rows
from letterlock.cli.check_said import describe_asked, list_said
from letterlock.cli.story_text import Document

_STYLE = """\
:root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 2.5rem 0 .5rem; }
h2 { font-size: 1.1rem; margin: 1.5rem 0 .4rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
code { font-size: .9em; }
.mark { display: inline-block; min-width: 6.5em; font-weight: 600; white-space: nowrap; }
.critical, .defer, .bounce { color: #b00020; }
.warning, .clear { color: #9a5b00; }
.authenticated { color: #11692f; }
summary { overflow-wrap: anywhere; }
pre { overflow-x: auto; margin: .3rem 0 .8rem 1rem; font-size: .85em; white-space: pre-wrap; }
.fix { margin-top: .2rem; }
@media (prefers-color-scheme: dark) {
  .critical, .defer, .bounce { color: #ff8a8a; }
  .warning, .clear { color: #ffc46b; }
  .authenticated { color: #7ddc9a; }
}
@media print { body { margin: 0; max-width: none; } h1, tr { break-inside: avoid; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WORDS = {
    "authenticated": "arrives, verified",
    "encrypted": "arrives, encrypted",
    "clear": "arrives in clear",
    "defer": "waits",
    "bounce": "is returned",
    "undecidable": "not known",
}


def format_head(title: str) -> str:
    """Begin a page; `title` says of what: a domain, or how many."""
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n',
            f"<title>{_show(title)}: mail as senders see it</title>\n",
            f"<style>\n{_STYLE}</style>\n</head>\n<body>\n",
        )
    )


def format_foot(moment: str) -> str:
    """End a page; `moment` is when it was made."""
    return f"<p>Checked at {_show(moment)} by Letterlock.</p>\n</body>\n</html>\n"


def format_domain(document: Document) -> Iterator[str]:
    """Make a domain's part of a page."""
    yield f"<h1>{_show(document['domain'])}</h1>\n"
    if document["no_route"]:
        yield f"<p>{_show(document['no_route'])}</p>\n"
    yield "<h2>Would mail arrive?</h2>\n"
    yield from _table(("who sends", "mail", "why"), map(_verdict_row, document["verdicts"]))
    yield "<h2>What is wrong, and what to do</h2>\n"
    findings = [each for each in document["findings"] if each["severity"] != "info"]
    if findings:
        yield from _table(("how bad", "what", "where"), map(_finding_row, findings))
    else:
        yield "<p>Nothing.</p>\n"
    yield "<h2>What was seen</h2>\n"
    rows = [row for host in document["hosts"] for row in _host_rows(host)]
    yield from _table(("host", "address", "asked", "answer"), rows)
    deep = [row for host in document["hosts"] for row in list_deep_rows(host)]
    if deep:
        yield "<h2>What its TLS would take</h2>\n"
        yield from _table(("address", "what", "answer"), ([*map(_show, row)] for row in deep))
    renewals = [row for host in document["hosts"] for row in list_renewal_rows(host)]
    if renewals:
        yield "<h2>When its certificate is renewed</h2>\n"
        heads = ("host", "renewed", "TLSA", "records")
        yield from _table(heads, ([*map(_show, row)] for row in renewals))
    chain = list_chain_rows(document)
    if chain:
        yield "<h2>What DNSSEC vouches for</h2>\n"
        yield from _table(("what", "how far it is signed"), ([*map(_show, row)] for row in chain))
    infos = [each for each in document["findings"] if each["severity"] == "info"]
    if infos:
        yield "<h2>To be known</h2>\n"
        yield from _table(("how bad", "what", "where"), map(_finding_row, infos))
    yield from _tell_said(document)


def _tell_said(document: Document) -> Iterator[str]:
    """Fold what was said in each connection: a browser opens it without a script."""
    parts = [
        (f"{host['name'] or 'the domain itself'} {address['ip']} {course}", lines)
        for host in document["hosts"]
        for address in host["addresses"]
        for course, lines in list_said(address)
    ]
    if parts:
        yield "<h2>What was said</h2>\n"
    for course, lines in parts:
        said = "\n".join(map(_show, lines))
        yield f"<details><summary>{_show(course)}</summary><pre>{said}</pre></details>\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Make a table; the cells are HTML already."""
    yield "<table>\n<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>\n"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n"
    yield "</table>\n"


def _verdict_row(verdict: Document) -> Sequence[str]:
    outcome = verdict["outcome"]
    reason = _show(verdict["reason"])
    if verdict["result_type"] and outcome in ("defer", "bounce"):
        reason += f" <code>{_show(verdict['result_type'])}</code>"
    return _show(verdict["who"]), _mark(outcome, _WORDS[outcome]), reason


def _finding_row(finding: Document) -> Sequence[str]:
    what = f"<code>{_show(finding['id'])}</code> {_show(finding['evidence'])}"
    if finding["rfc"]:
        what += f" ({_show(finding['rfc'])})"
    if finding["fix"]:
        what += f'<div class="fix">To do: {_show(finding["fix"])}</div>'
    return _mark(finding["severity"], finding["severity"]), what, _show(finding["where"])


def _host_rows(host: Document) -> Iterator[Sequence[str]]:
    name = _show(host["name"] or "the domain itself")
    if not host["addresses"]:
        yield name, "", "", _show(host["error"] or "no address")
    for address in host["addresses"]:
        probes = address["probes"] or [address | {"asked": "", "key": None}]
        for probe in probes:
            asked = describe_asked(probe)
            answer = f"{_show(probe['state'])}: {_show(probe['detail'])}"
            yield name, _show(address["ip"]), _show(asked), answer


def _mark(kind: str, words: str) -> str:
    return f'<span class="mark {_show(kind)}">{_show(words)}</span>'


def _show(text: object) -> str:
    return escape(make_printable(str(text)), quote=True)
