"""What `policy explain` is asked, and the mail log that it reads."""

from letterlock.base.domains import Domain
from letterlock.services.deliver.delivery import Routing
from letterlock.services.discover.next_hop import NextHopError, parse_next_hop
from letterlock.services.explain.explainer import parse_question
from letterlock.services.explain.mail_log import LogSummary, summarize_log
from tests.fuzz.target import Target

_LOG = b"""\
Nov 22 07:00:01 mx postfix/smtp[1]: Verified TLS connection established to mx.a.b[192.0.2.1]:25: T
Nov 22 07:00:01 mx postfix/smtp[1]: 4F: to=<a@example.com>, relay=mx.a.b[192.0.2.1]:25, delay=1, \
status=sent (250 ok)
2026-11-22T07:00:02Z x: B: to=<b@Example.com>, relay=none, status=deferred (no route: (a) b)
"""
_LOG_WORDS = (
    *(b"to=<", b"@example.com>", b"@example.com.>", b" relay=", b",", b" status=", b" (", b")"),
    *(b"Untrusted TLS connection reused to ", b": ", b"\n", b">", b"sent", b"bounced", b"\xff"),
    *(b"mx.a.b[192.0.2.1]:25", b"@EXAMPLE.com", "\u212a".encode(), b"to=<@" * 60, b"a" * 300),
)


_ROUTING = Routing(
    frozenset({"local.example"}), {Domain("routed.example"): parse_next_hop("[mx.example]")}, None
)


def check_question(octets: bytes) -> None:
    """What `policy explain` is asked is a destination with its way, or refused in few words."""
    text = octets.decode("utf-8", "replace")
    try:
        question = parse_question(text, _ROUTING)
    except NextHopError as error:
        assert len(str(error)) < 1000
        return
    assert question.name.isprintable()
    assert parse_question(question.name, _ROUTING) == question
    assert (question.next_hop is None) == (question.name == "local.example")
    assert question.is_routed == (question.name == "routed.example")


def check_mail_log(octets: bytes) -> None:
    """Each line of a log counts at most once, what is counted adds up, and only mail to it."""
    lines = octets.decode("utf-8", "surrogateescape").split("\n")
    domain = Domain("example.com")
    found = summarize_log(lines, domain)
    assert sum(found.deliveries.values()) + sum(found.tls.values()) <= len(lines)
    assert (found.last is None) == (found.deliveries == {})
    assert found.last_trouble is None or found.last_trouble.status != "sent"
    assert (found.last_trouble is None) == (found.deliveries.keys() <= {"sent"})
    cut = len(lines) // 2
    parts = summarize_log(lines[:cut], domain), summarize_log(lines[cut:], domain)
    assert found.last == (parts[1].last or parts[0].last)
    assert _add(parts) == found.deliveries
    others = [line for line in lines if "@example.com" not in line.lower()]
    assert summarize_log(others, domain) == LogSummary({}, {})


def _add(parts: tuple[LogSummary, ...]) -> dict[str, int]:
    words = {word for part in parts for word in part.deliveries}
    return {word: sum(part.deliveries.get(word, 0) for part in parts) for word in words}


TARGETS = (
    Target(
        "policy-question",
        check_question,
        (
            *(b"a@example.com", b"[mx.example.com]:25", b"routed.example", b"x@LOCAL.example"),
            "ä@bücher.example:smtp".encode(),
        ),
        (b"@", b":25", b"[", b"]", b".", b" ", b"local.example", b"routed.example", b"ipv6:::1"),
        300,
    ),
    Target("mail-log", check_mail_log, (_LOG,), _LOG_WORDS, 2048, runs=300),
)
