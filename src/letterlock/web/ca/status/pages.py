"""The pages of an authority as HTML: no scripts, nothing from elsewhere, every word escaped.

CSP Level 3 (the one style sheet is named by its digest). What is shown comes from
`services.ca.incidents.public`.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from html import escape

from letterlock.base.counts import format_count
from letterlock.protocols.incidents.notices import format_moment
from letterlock.services.ca.incidents.public import PublicIncident, PublicStatus
from letterlock.storage.ca.incidents import IncidentState
from letterlock.web.ca.status.answers import Answered, HostAnswer, Verdict

STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2rem}"
    "table{border-collapse:collapse}th,td{text-align:left;padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}.bad{color:#a00}.good{color:#060}code{overflow-wrap:anywhere}"
    "input{font:inherit;padding:.2rem .4rem}"
)
_DIGEST = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)
_WORDS = {
    IncidentState.ENABLED: "under way",
    IncidentState.ENDED: "ended",
}
_VERDICTS = {
    Verdict.AFFECTED: ("bad", "affected: renew it"),
    Verdict.REVOKED: ("bad", "revoked: renew it"),
    Verdict.NOT_AFFECTED: ("good", "not affected"),
    Verdict.NOT_OURS: ("", "not issued by this authority"),
    Verdict.UNKNOWN: ("", "not known"),
}


class Pages:
    """Writes pages. `name` is the authority's, `base` the URL that paths stand behind."""

    def __init__(self, name: str, base: str, *, has_form: bool) -> None:
        self._name = name
        self._base = base
        self._has_form = has_form

    def write_status(self, status: PublicStatus) -> bytes:
        """Write how the authority stands."""
        parts = [self._write_state(status)]
        if self._has_form:
            parts.append(self._write_form(""))
        parts.append("<h2>Incidents</h2>")
        parts += [self._write_summary(each) for each in status.incidents]
        if not status.incidents:
            parts.append("<p>None.</p>")
        if status.head is not None:
            head = status.head
            parts.append(
                "<h2>Audit log</h2><p>All decisions are in a log that nobody changes unseen: "
                f"{format_count(head.head.number, 'record')} at {_moment(head.moment)}, "
                f'<a href="{self._url("status/audit-head")}">signed</a>.</p>'
            )
        return self._write(f"{self._name}: status", parts)

    def write_incident(self, found: PublicIncident) -> bytes:
        """Write an incident, for who was told of its page."""
        incident, counts = found.incident, found.counts
        rows = (
            ("State", _WORDS.get(incident.state, incident.state.value)),
            ("Renew by", format_moment(incident.renew_by)),
            ("Since", format_moment(incident.enabled or incident.created)),
            ("Certificates affected", str(counts.affected)),
            ("Replaced", str(counts.replaced)),
            ("Revoked", str(counts.revoked)),
            ("Left", str(counts.left)),
        )
        parts = [
            f"<p>{escape(incident.why)}</p>",
            _write_table(rows),
            (
                "<p>ACME clients that ask when to renew (ARI, RFC 9773) are told to do so now. "
                "With others, renew by hand, and see that your servers use the new certificate. "
                "What is left when the time is up is revoked: clients refuse it then.</p>"
            ),
        ]
        if self._has_form:
            parts.append(self._write_form(""))
        return self._write(f"{self._name}: incident {incident.id}", parts)

    def write_answer(self, answer: HostAnswer) -> bytes:
        """Write what was found on a host."""
        parts = [f"<p>{escape(answer.summary)}</p>"]
        if answer.found:
            parts.append(_write_findings(answer.found))
        parts.append(self._write_form(answer.asked))
        return self._write(f"{self._name}: {answer.asked or 'is my host affected?'}", parts)

    def write_refusal(self, title: str, text: str) -> bytes:
        """Write why there is nothing to see."""
        return self._write(f"{self._name}: {title}", [f"<p>{escape(text)}</p>"])

    def _write_state(self, status: PublicStatus) -> str:
        halt = status.halt
        if not halt.is_halted:
            return '<p class="good">Certificates are issued.</p>'
        since = f" since {_moment(halt.since)}" if halt.since is not None else ""
        return f'<p class="bad">Issuance is halted{since}: {escape(halt.why)}</p>'

    def _write_summary(self, found: PublicIncident) -> str:
        incident, counts = found.incident, found.counts
        url = self._url(f"status/incident/{incident.id}")
        state = _WORDS.get(incident.state, incident.state.value)
        affected = format_count(counts.affected, "certificate")
        return (
            f'<p><a href="{url}">{escape(incident.id)}</a> ({state}): {escape(incident.why)}<br>'
            f"Renew by {format_moment(incident.renew_by)}. {affected}: "
            f"{counts.replaced} replaced, {counts.revoked} revoked, {counts.left} left.</p>"
        )

    def _write_form(self, asked: str) -> str:
        return (
            f'<h2>Is my host affected?</h2><form method="post" action="{self._url("status/host")}">'
            '<label>Host: <input name="host" required maxlength="260" '
            f'value="{escape(asked)}" placeholder="mail.example.org"></label> '
            "<button>Look</button></form><p>It is asked which certificates it shows: HTTPS, and "
            "mail on 25, 465, 587 and 993.</p>"
        )

    def _write(self, title: str, parts: Iterable[str]) -> bytes:
        home = self._url("status")
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>\n"
            + "\n".join(parts)
            + f'\n<p><a href="{home}">Status</a></p></body></html>\n'
        ).encode()

    def _url(self, path: str) -> str:
        return escape(f"{self._base}/{path}")


def _write_table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows)
    return f"<table>{''.join(cells)}</table>"


def _write_findings(found: Sequence[Answered]) -> str:
    rows = []
    for each in found:
        style, words = _VERDICTS[each.verdict]
        mark = f' class="{style}"' if style else ""
        serial = f"<br><code>{escape(each.serial)}</code>" if each.serial else ""
        more = f": {escape(each.reason)}" if each.reason else ""
        rows.append(
            f"<tr><td>{escape(each.source)}{serial}</td><td{mark}>{escape(words)}{more}</td></tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def _moment(moment: datetime) -> str:
    return escape(format_moment(moment))
