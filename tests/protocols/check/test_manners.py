"""How a host speaks up to TLS and under it."""

from dataclasses import replace

import pytest

from letterlock.protocols.check.facts import (
    AskedSni,
    Probe,
    ProbeStep,
    State,
    StepTime,
)
from letterlock.protocols.check.findings import Finding, Severity
from letterlock.protocols.check.manners import find_manners
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from tests.protocols.check.test_live import HOST, IP, make_address, make_domain

SHAKEN = Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, HOST)
WHERE = f"{HOST}[{IP}]"


def hello(*words: str) -> Reply:
    return Reply(250, (HOST, *words))


def make_probe(clear: Reply | None, under_tls: Reply | None = None, **seconds: float) -> Probe:
    """Make the probe of a correct sender; `seconds` by step, `_` for `-`."""
    times = [StepTime(ProbeStep(step.replace("_", "-")), each) for step, each in seconds.items()]
    return Probe(
        AskedSni.OWN,
        State.OK,
        HOST,
        handshake=SHAKEN,
        is_starttls_offered=True,
        hello=clear,
        hello_under_tls=under_tls,
        times=tuple(times),
    )


def find(*probes: Probe) -> list[Finding]:
    return list(find_manners(make_domain(make_address(*probes))))


def show(*probes: Probe) -> list[tuple[str, str]]:
    return [(str(each.id), each.evidence) for each in find(*probes)]


GOOD = hello("PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8")
OFFERED = hello("PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "STARTTLS")


def test_nothing_is_said_of_who_speaks_as_it_should() -> None:
    probe = make_probe(OFFERED, GOOD, connect=9.0, banner=4.9, ehlo=0.1, handshake=9.0)
    assert find(probe) == []
    assert find(replace(probe, hello=None)) == []
    assert list(find_manners(make_domain())) == []


@pytest.mark.parametrize(
    ("seconds", "severity"), [(5.0, Severity.INFO), (14.9, Severity.INFO), (15.0, Severity.NOTICE)]
)
def test_a_slow_banner(seconds: float, severity: Severity) -> None:
    """RFC 5321 §4.5.3.2.1; how long each connection waited is told."""
    first = make_probe(OFFERED, GOOD, banner=seconds, ehlo=0.1)
    second = replace(make_probe(None, banner=0.2), asked=AskedSni.NONE)
    (found,) = find(first, second)
    assert (found.id, found.severity, found.where) == ("banner-slow", severity, WHERE)
    assert found.evidence == f"the banner came after {seconds:.1f}, 0.2 seconds"


@pytest.mark.parametrize(
    ("step", "words"),
    [("ehlo", "EHLO"), ("starttls", "STARTTLS"), ("ehlo_under_tls", "EHLO under TLS")],
)
def test_a_slow_answer(step: str, words: str) -> None:
    """RFC 5321 §4.5.3.2."""
    probe = make_probe(OFFERED, GOOD, banner=0.1, **{step: 6.0})
    assert show(probe) == [("answers-slow", f"{words} was answered after 6.0 seconds")]


@pytest.mark.parametrize("state", [State.BLOCKED, State.FINDING])
def test_what_was_never_answered_is_not_slow(state: State) -> None:
    silent = make_probe(None, banner=20.0)
    assert find(replace(silent, state=state)) == []
    later = make_probe(OFFERED, banner=0.1, ehlo=20.0)
    assert find(replace(later, state=state)) == []


def test_starttls_that_is_hidden() -> None:
    """RFC 3207 §4."""
    hidden = replace(make_probe(hello("XXXXXXXA", "8BITMIME")), handshake=None, unoffered=SHAKEN)
    assert show(hidden) == [
        (
            "ehlo-changed-on-the-way",
            "the answer to EHLO has XXXXXXXA in the place of a word: it was changed on the way",
        ),
        ("starttls-taken-unoffered", "STARTTLS is not offered, but taken: TLSv1.3 works"),
    ]
    failed = HandshakeFailed(FailureCause.NOT_TLS, "not TLS")
    assert find(replace(hidden, hello=hello("XX", "MAXXXXX"), unoffered=failed)) == []


def test_a_host_may_be_called_by_a_mask() -> None:
    assert find(make_probe(Reply(250, ("XXXXXXXA", "STARTTLS")))) == []


def test_starttls_once_more() -> None:
    """RFC 3207 §4.2: it MUST NOT be."""
    (found,) = find(make_probe(OFFERED, OFFERED))
    assert (found.id, found.rfc) == ("starttls-offered-under-tls", "RFC 3207 §4.2")


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (("8BITMIME", "SMTPUTF8"), (), "8BITMIME, SMTPUTF8"),
        (("8BITMIME", "DSN"), ("SMTPUTF8",), "8BITMIME"),
        (("SIZE 1000",), ("SIZE 999",), "SIZE 1000 (but 999)"),
        (("SIZE",), ("SIZE 999",), "SIZE without a limit (but 999)"),
        (("SIZE 1000",), ("SIZE",), None),
        (("SIZE 1000",), ("SIZE 1000",), None),
        ((), ("SIZE 999",), None),
        (("DSN", "CHUNKING"), (), None),
    ],
)
def test_what_is_lost_under_tls(
    before: tuple[str, ...], after: tuple[str, ...], lost: str | None
) -> None:
    """RFC 3207 §4.2: it may differ; what mail may need is told."""
    expected = f"offered in clear, and not under TLS: {lost}"
    found = show(make_probe(hello(*before, "STARTTLS"), hello(*after)))
    assert found == ([] if lost is None else [("extensions-lost-under-tls", expected)])


def test_without_tls_nothing_is_compared() -> None:
    failed = HandshakeFailed(FailureCause.NOT_TLS, "not TLS")
    assert find(replace(make_probe(OFFERED, hello()), handshake=failed)) == []


@pytest.mark.parametrize(
    ("words", "shown"),
    [("AUTH PLAIN LOGIN CRAM-MD5", "LOGIN PLAIN"), ("AUTH=LOGIN", "LOGIN"), ("AUTH CRAM-MD5", "")],
)
def test_passwords_in_clear(words: str, shown: str) -> None:
    """RFC 4954 §4."""
    found = show(make_probe(hello(words, "STARTTLS"), hello()))
    expected = [("passwords-in-clear-offered", f"AUTH {shown} is offered in clear")]
    assert found == (expected if shown else [])
