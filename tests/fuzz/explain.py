"""What `policy explain` is asked, and mail logs, as it and `log explain` read them."""

from datetime import UTC, datetime

from letterlock.base.domains import Domain
from letterlock.protocols.check.injections import FarewellReader
from letterlock.protocols.check.openings import OpeningReader, Refused, Say, Speech
from letterlock.protocols.mail_log.causes import SECOND_MX, Cause
from letterlock.protocols.mail_log.journal import read_export
from letterlock.protocols.mail_log.lines import read_json_line, read_line
from letterlock.protocols.mail_log.postfix import read_event
from letterlock.protocols.mail_log.reading import LogReader
from letterlock.protocols.mail_log.stamps import read_stamp
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
    """Only mail to the domain is counted, each attempt once and with one cause."""
    lines = octets.decode("utf-8", "surrogateescape").split("\n")
    domain = Domain("example.com")
    found = summarize_log(lines, domain)
    assert sum(found.deliveries.values()) <= sum(found.causes.values()) <= len(lines)
    assert (found.last is None) == (found.deliveries == {})
    assert found.last_trouble is None or found.last_trouble.status != "sent"
    assert (found.last_trouble is None) == (found.deliveries.keys() <= {"sent"})
    others = [line for line in lines if "@example.com" not in line.lower()]
    assert summarize_log(others, domain) == LogSummary({}, {}, {})


def check_log_deliveries(octets: bytes) -> None:
    """A log of any form gives deliveries with causes of the list; cut in two files, no more."""
    lines = octets.decode("utf-8", "replace").splitlines(keepends=True)
    reader = LogReader()
    found = list(reader.read(lines))
    reader.close()
    assert reader.tally.lines <= len(lines)
    assert reader.tally.unread <= reader.tally.lines
    for delivery in found:
        assert Cause(delivery.cause.removeprefix(SECOND_MX))
        assert len(delivery.evidence) < 200
        moment = read_stamp(delivery.stamp, _NOW, UTC)
        assert moment is None or moment.tzinfo is UTC
    for line in lines:
        parts = read_line(line)
        if parts is not None:
            read_event(parts.text)
        read_json_line(line)
    assert len(list(read_export(lines))) <= len(lines)
    if not lines or "=" not in lines[0]:
        parted = LogReader()
        cut = len(lines) // 2
        assert [*parted.read(lines[:cut]), *parted.read(lines[cut:])] == found or any(
            each.startswith("__") for each in lines
        )


_NOW = datetime(2026, 11, 22, tzinfo=UTC)
_LOGS = (
    b"""\
Nov 22 15:25:24 a postfix/smtp[7]: certificate verification failed for m[1.2.3.4]:25: untrusted \
issuer /CN=x
Nov 22 15:25:24 a postfix/smtp[7]: Untrusted TLS connection established to m[1.2.3.4]:25: TLSv1.3 \
with cipher X (256/256 bits)
Nov 22 15:25:24 a postfix/smtp[7]: 67CF62BC555: to=<b@w.example>, relay=m[1.2.3.4]:25, delay=0.2, \
delays=0/0/0/0, tls=verify, dsn=4.7.5, status=deferred (Server certificate not verified)
""",
    b"""\
2026-11-22 15:39:22 1xV9f0-0000Aj-1C H=m [1.2.3.4] TLS error on connection (recv): Certificate is \
required
2026-11-22 15:39:22 1xV9f0-0000Aj-1C == b@w.example R=r T=t defer (-18) H=m [1.2.3.4]: Remote \
host closed connection in response to EHLO x
2026-11-22 15:39:22 1xV9f0-0000Aj-1C => b@w.example R=r T=t H=m [1.2.3.4] X=TLS1.3:X:256 CV=yes \
C="250 Ok"
""",
    b"""\
__CURSOR=1
__REALTIME_TIMESTAMP=1700000000000000
SYSLOG_IDENTIFIER=postfix/smtp
_PID=7
MESSAGE=67CF62BC555: to=<b@w.example>, relay=none, delay=1, dsn=4.4.1, status=deferred (connect \
to m[::1]:25: Connection refused)

""",
    b"""\
{"time": "2026-11-22T15:39:22Z", "service": "smtp", "process": 7, "queue_id": "ABCDEFGHIJ1", \
"text": "to=<b@w.example>, relay=m[1.2.3.4]:25, delay=1, dsn=2.0.0, status=sent (250 ok)"}
""",
)
_LOGS_WORDS = (
    *(b"smtp[7]: ", b"tlsproxy[7]: ", b"SSL_connect error to ", b"warning: TLS library problem: "),
    *(b"m[1.2.3.4]:25", b"m2[1.2.3.5]:25", b"conn_use=2, ", b"tls=dane, ", b"Verified ", b"\n"),
    *(b"Cannot start TLS: handshake failure", b"warning: ", b"H=m [1.2.3.4]", b"Completed"),
)


def check_opening(octets: bytes) -> None:
    """What a server says before TLS ends in TLS, in a refusal, or in waiting for more."""
    for speech in (Speech.IMAP, Speech.POP3):
        reader = OpeningReader(speech)
        steps = [reader.receive(octets[at : at + 3]) for at in range(0, len(octets), 3)]
        assert sum(isinstance(step, Say) for step in steps) <= 1
        for step in steps:
            assert not isinstance(step, Refused) or len(step.text) < 300


def check_farewell(octets: bytes) -> None:
    """What a server says under TLS tells the same however it is split."""
    for speech in (Speech.IMAP, Speech.POP3):
        whole, split = FarewellReader(speech), FarewellReader(speech)
        whole.receive(octets)
        for octet in octets:
            split.receive(bytes([octet]))
        assert whole.conclude() == split.conclude()
        assert len(whole.conclude()[1]) < 300


TARGETS = (
    Target(
        "opening",
        check_opening,
        (b"* OK hello\r\na1 OK go\r\n", b"+OK hello\r\n+OK go\r\n"),
        (b"* OK", b"* BYE", b"a1 ", b"+OK", b"-ERR", b"\r\n", b"\n"),
        300,
    ),
    Target(
        "farewell",
        check_farewell,
        (b"* BYE\r\na3 OK\r\n", b"a2 OK\r\n* BYE\r\na3 OK\r\n", b"-ERR what\r\n+OK bye\r\n"),
        (b"a2 ", b"a3 ", b"* BYE", b"+OK", b"-ERR", b"\r\n", b"\n"),
        300,
    ),
    Target("log-deliveries", check_log_deliveries, _LOGS, _LOGS_WORDS, 2048, runs=300),
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
