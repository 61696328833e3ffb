"""What people read in a delivery status notification: what happened, and what they can do.

RFC 6522 §3 (the first part), RFC 3464 §1.1. First a sentence or two for somebody who knows nothing
of mail servers, then what was tried, then what those who run servers want to know. The words are
in `dsn_templates` and `dsn_causes`; the machine's part is in `dsn_fields`.
"""

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime

from letterlock.base.domains import Domain, format_unicode
from letterlock.protocols.smtp.dsn_causes import EXPIRED_STATUS, Phrase, find_cause
from letterlock.protocols.smtp.dsn_report import Action, DsnReport, ReportedRecipient
from letterlock.protocols.smtp.dsn_templates import NoticeTexts, fill_names
from letterlock.protocols.smtp.envelope import Recipient, TlsDemand
from letterlock.protocols.smtp.header_fields import make_safe
from letterlock.protocols.smtp.xtext import XtextError, decode_utf8_address, decode_xtext

MAX_NAMED = 5
"""So many recipients are named in a sentence."""
MAX_LISTED = 100
"""So many recipients have lines of their own: the machine's part has all."""
MAX_TRIED = 10
MAX_WORDS_CHARACTERS = 300
"""Of what others said, within a sentence."""

_WIDTH = 72
_MAX_WORD_CHARACTERS = 200
_KIB, _MIB = 1024, 1024 * 1024


def format_explanation(report: DsnReport, texts: NoticeTexts, *, is_whole: bool) -> str:
    """Give the text, in CRLF lines. `is_whole`: the message goes back as a whole."""
    values = {
        "recipients": _name_recipients(report),
        "sender": show_address(report.original.envelope.sender),
        "hostname": format_unicode(Domain(report.reporting_mta)),
        "postmaster": f"postmaster@{format_unicode(Domain(report.reporting_mta))}",
        "queue_id": report.original.queue_id,
        "arrived": _format_moment(report.original.arrived),
        "size": format_size(report.original.size),
        "next_try": _format_moment(report.next_attempt),
        "until": _format_moment(report.retry_until),
        "returned": _tell_returned(report, texts, is_whole=is_whole),
        "tried": "\n".join(_list_tried(report)),
        "details": "\n".join(_list_details(report, texts)),
    }
    values["reasons"] = "\n".join(_list_reasons(report, texts, values))
    lines = texts.find_notice(report.action).fill(values)
    return "".join(f"{_wrap(line)}\r\n" for line in lines)


def show_address(address: str) -> str:
    """Give an address for people: one line, its domain with U-labels."""
    local, at, domain = address.rpartition("@")
    shown = format_unicode(Domain(domain)) if domain.isascii() else domain
    return make_safe(f"{local}{at}{shown}", may_be_utf8=True, max_characters=300)


def format_size(octets: int) -> str:
    """Give a length for people."""
    if octets < _KIB:
        return f"{octets} octets"
    unit, name = (_MIB, "MiB") if octets >= _MIB else (_KIB, "KiB")
    return f"{octets / unit:.1f} {name}"


def _format_moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _name_recipients(report: DsnReport) -> str:
    names = [_name_recipient(each.recipient) for each in report.recipients[:MAX_NAMED]]
    more = len(report.recipients) - len(names)
    return ", ".join(names) + (f", ... (+{more})" if more else "")


def _name_recipient(recipient: Recipient) -> str:
    """Name the address that the sender wrote, and the one that it led to."""
    shown, written = show_address(recipient.address), _find_written(recipient.orcpt or "")
    if not written or written.lower() == recipient.address.lower():
        return shown
    return f"{show_address(written)} -> {shown}"


def _find_written(orcpt: str) -> str:
    """Give the address of ORCPT, "" for one that is of no use (RFC 3461 §4.2, RFC 6533 §3)."""
    kind, _, text = orcpt.partition(";")
    try:
        match kind.lower():
            case "rfc822":
                return decode_xtext(text)
            case "utf-8":
                return decode_utf8_address(text)
            case _:
                return ""
    except XtextError:
        return ""


def _list_reasons(report: DsnReport, texts: NoticeTexts, values: dict[str, str]) -> Iterator[str]:
    """Give what happened, once for all to whom the same did; nothing for a success."""
    if report.action not in (Action.FAILED, Action.DELAYED):
        return
    groups: dict[str, list[str]] = {}
    for each in report.recipients:
        groups.setdefault(_tell_reason(each, texts, values), []).append(
            _name_recipient(each.recipient)
        )
    for number, (reason, names) in enumerate(groups.items()):
        if number >= MAX_LISTED:
            yield "..."
            return
        if len(groups) == 1:
            yield reason
            return
        more = f", ... (+{len(names) - MAX_NAMED})" if len(names) > MAX_NAMED else ""
        yield f"{', '.join(names[:MAX_NAMED])}{more}:"
        yield f"    {reason}"


def _tell_reason(reported: ReportedRecipient, texts: NoticeTexts, values: dict[str, str]) -> str:
    domain = reported.recipient.address.rpartition("@")[2]
    words = make_safe(reported.diagnostic, may_be_utf8=True, max_characters=MAX_WORDS_CHARACTERS)
    facts = {
        **values,
        "domain": show_address(domain),
        "words": words or texts.find_sentence(Phrase.NOTHING_KNOWN),
    }
    sentences = [texts.find_sentence(find_cause(reported))]
    if reported.status == EXPIRED_STATUS:
        sentences.insert(0, texts.find_sentence(Phrase.EXPIRED))
    return " ".join(fill_names(each, facts) for each in sentences)


def _tell_returned(report: DsnReport, texts: NoticeTexts, *, is_whole: bool) -> str:
    if is_whole:
        return texts.find_sentence(Phrase.RETURNED_MESSAGE)
    if report.original.envelope.tls_demand is TlsDemand.REQUIRETLS:
        return texts.find_sentence(Phrase.RETURNED_REQUIRETLS)
    return texts.find_sentence(Phrase.RETURNED_HEADER)


def _list_tried(report: DsnReport) -> Iterator[str]:
    """Give what was tried, the latest last; what came to the same again and again stands once."""
    tried = sorted(report.tried, key=lambda each: each.last)
    for each in tried[-MAX_TRIED:]:
        when = _format_moment(each.first).removesuffix(" UTC")
        if each.count > 1:
            last = _format_moment(each.last).removesuffix(" UTC")
            when = f"{when} - {last} ({each.count}x)"  # in any language
        relay = "" if each.relay == "none" else f": {make_safe(each.relay)}"
        yield f"    {when}{relay}"
        yield f"        {make_safe(each.summary, may_be_utf8=True) or '-'}"


def _list_details(report: DsnReport, texts: NoticeTexts) -> Iterator[str]:
    for reported in report.recipients[:MAX_LISTED]:
        address = make_safe(reported.recipient.address, may_be_utf8=True)
        words = make_safe(reported.diagnostic, may_be_utf8=True)
        said = ""
        if reported.remote_mta is not None:
            said = f"host {make_safe(reported.remote_mta)} said: "
        result = "" if reported.tls_result is None else f" ({reported.tls_result})"
        yield f"<{address}>: {said}{words or texts.find_sentence(Phrase.NOTHING_KNOWN)}{result}"
    if len(report.recipients) > MAX_LISTED:
        yield f"... (+{len(report.recipients) - MAX_LISTED})"


def _wrap(text: str) -> str:
    if len(text) <= _WIDTH:
        return text.rstrip()
    has_long_word = any(len(word) > _MAX_WORD_CHARACTERS for word in text.split())
    indent = text[: len(text) - len(text.lstrip())]
    lines = textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=f"{indent}    " if text[:1] == "<" else indent,
        break_long_words=has_long_word,
        break_on_hyphens=False,
    )
    return "\r\n".join(lines)
