"""What sessions say of a sender: tables of senders as they are, and what nothing can be said of."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from letterlock.protocols.inbound.cases import PLACE_BY_CASE, Case, Place
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen, TlsSeen
from letterlock.protocols.inbound.verdict import (
    MAX_LISTED,
    Answer,
    Outcome,
    Question,
    find_answer,
    judge,
)

START = datetime(2026, 11, 22, tzinfo=UTC)
KEYS = map(str, count())
TLS = TlsSeen("TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519")

ENCRYPTED, CLEAR, LEFT, NEVER = "encrypted", "clear", "left", "never"


def session(
    case: Case | None, how: str, *, sni: str | None = "named", **more: object
) -> SessionSeen:
    """Make a session at the host of a case, None: at the shared address, naming nothing."""
    delivered = (case,) if case is not None and how in (ENCRYPTED, CLEAR) else ()
    tls = None if how == CLEAR else TlsSeen(TLS.version, TLS.cipher, TLS.group, sni)
    fields: dict[str, object] = {
        "key": next(KEYS),
        "started": START,
        "ip": "192.0.2.1",
        "place": PLACE_BY_CASE[case] if case is not None else Place.SHARED,
        "hello": "mx.sender.example",
        "cases": () if case is None else (case,),
        "tls": tls,
        "delivered": delivered,
        **more,
    }
    return SessionSeen(**fields)  # type: ignore[arg-type] # a test's own


def make_test(*sessions: SessionSeen, offered: tuple[Case, ...] = tuple(Case)) -> InboundTest:
    return InboundTest("token", START, START + timedelta(days=7), offered, sessions=tuple(sessions))


def of_hosts(hosts: Mapping[str, str]) -> InboundTest:
    """Make a test of how a sender treated each host; others it did not come to."""
    sessions = [
        session(Case(case), CLEAR if case == "no-starttls" and how == LEFT else how)
        for case, how in hosts.items()
    ]
    # Who left the host without STARTTLS had no TLS, and delivered nothing.
    return make_test(
        *(
            SessionSeen(each.key, START, each.ip, each.place, each.hello, each.cases)
            if hosts[each.cases[0]] == LEFT and each.place is Place.NO_STARTTLS
            else each
            for each in sessions
        )
    )


ALL = dict.fromkeys([case.value for case in Case], ENCRYPTED) | {"no-starttls": CLEAR}
SENDERS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "opportunistic": (
        ALL,
        {
            "tls": "yes",
            "requires-tls": "no",
            "verifies-always": "no",
            "dane": "no",
            "mta-sts": "no",
        },
    ),
    "in clear always": (
        dict.fromkeys(ALL, CLEAR),
        {"tls": "no", "requires-tls": "no", "verifies-always": "no", "dane": "no", "mta-sts": "no"},
    ),
    "DANE": (
        ALL | {"bad-tlsa": LEFT},
        {
            "tls": "yes",
            "requires-tls": "no",
            "verifies-always": "no",
            "dane": "yes",
            "mta-sts": "no",
        },
    ),
    "MTA-STS": (
        ALL | {"sts": LEFT},
        {
            "tls": "yes",
            "requires-tls": "no",
            "verifies-always": "no",
            "dane": "no",
            "mta-sts": "yes",
        },
    ),
    "both": (
        ALL | {"sts": LEFT, "bad-tlsa": LEFT},
        {"tls": "yes", "verifies-always": "no", "dane": "yes", "mta-sts": "yes"},
    ),
    "TLS or nothing": (
        ALL | {"no-starttls": LEFT},
        {"tls": "yes", "requires-tls": "yes", "verifies-always": "no", "dane": "no"},
    ),
    "verifying always": (
        ALL | dict.fromkeys(("no-starttls", "expired", "wrong-name", "sts"), LEFT),
        {
            "tls": "yes",
            "requires-tls": "yes",
            "verifies-always": "yes",
            "dane": "no",
            "mta-sts": "unknown",
        },
    ),
    "a look at expired only": (
        {"good": ENCRYPTED, "expired": LEFT},
        {"verifies-always": "yes", "dane": "unknown", "mta-sts": "unknown"},
    ),
    "down": (
        dict.fromkeys(ALL, LEFT),
        {
            "tls": "unknown",
            "requires-tls": "unknown",
            "verifies-always": "unknown",
            "dane": "unknown",
            "mta-sts": "unknown",
        },
    ),
    "no control for sts": ({"good": ENCRYPTED, "sts": LEFT}, {"mta-sts": "unknown"}),
}


@pytest.mark.parametrize("name", SENDERS)
def test_what_a_sender_does_is_told_by_what_hosts_differ_in(name: str) -> None:
    """RFC 7672 §2.2, RFC 8461 §5, RFC 7435 §3"""
    hosts, expected = SENDERS[name]
    verdict = judge(of_hosts(hosts))
    found = {each.question.value: each.answer.value for each in verdict.answers}
    assert {question: found[question] for question in expected} == expected


def test_nothing_seen_says_nothing() -> None:
    verdict = judge(make_test())
    assert {each.answer for each in verdict.answers} == {Answer.UNKNOWN}
    assert {each.outcome for each in verdict.cases} == {Outcome.NOT_SEEN}


def test_a_host_without_an_address_is_said_to_have_none() -> None:
    verdict = judge(make_test(session(Case.GOOD, ENCRYPTED), offered=(Case.GOOD,)))
    outcomes = {each.case: each.outcome for each in verdict.cases}
    assert outcomes == dict.fromkeys(Case, Outcome.NOT_OFFERED) | {Case.GOOD: Outcome.ENCRYPTED}
    evidence = {each.question: each.evidence for each in verdict.answers}
    assert evidence[Question.DANE] == "bad-tlsa has no address here"


def test_who_left_and_came_again_delivered() -> None:
    verdict = judge(make_test(session(Case.GOOD, LEFT), session(Case.GOOD, ENCRYPTED)))
    good = verdict.cases[0]
    assert (good.outcome, good.sessions) == (Outcome.ENCRYPTED, 2)


def test_one_delivery_in_clear_counts() -> None:
    verdict = judge(make_test(session(Case.GOOD, ENCRYPTED), session(Case.GOOD, CLEAR)))
    assert verdict.cases[0].outcome is Outcome.CLEAR


def test_a_session_that_names_no_host_proves_no_policy() -> None:
    """RFC 7672 §8.1: who keeps to TLSA records names the host."""
    verdict = judge(make_test(session(Case.GOOD, ENCRYPTED), session(None, LEFT, sni=None)))
    outcomes = {each.case: each.outcome for each in verdict.cases}
    assert outcomes[Case.BAD_TLSA] is Outcome.PROBABLY_REFUSED
    assert outcomes[Case.EXPIRED] is Outcome.NOT_SEEN
    assert find_answer(verdict, Question.DANE) is Answer.UNKNOWN
    assert find_answer(verdict, Question.MTA_STS) is Answer.UNKNOWN
    assert find_answer(verdict, Question.VERIFIES) is Answer.UNKNOWN
    assert verdict.unplaced == 1


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["a", "a"], Answer.YES),
        ([None, None], Answer.NO),
        ([None, "a"], Answer.SOMETIMES),
    ],
)
def test_sni_is_counted_over_all_handshakes(names: list[str | None], answer: Answer) -> None:
    """RFC 6066 §3"""
    test = make_test(*(session(Case.GOOD, ENCRYPTED, sni=name) for name in names))
    assert find_answer(judge(test), Question.SNI) is answer
    assert judge(test).cases[0].unnamed == names.count(None)


@pytest.mark.parametrize(
    ("how", "answer"), [(CLEAR, Answer.YES), (ENCRYPTED, Answer.NO), (LEFT, Answer.NO)]
)
def test_in_clear_after_a_failed_handshake_is_a_fall_back(how: str, answer: Answer) -> None:
    """RFC 7435 §3"""
    failed = session(Case.GOOD, CLEAR, delivered=(), failure="alert", failed_sni="mx")
    verdict = judge(make_test(failed, session(Case.GOOD, how)))
    assert find_answer(verdict, Question.FALLS_BACK) is answer
    assert verdict.cases[0].failures == ("alert",)
    assert "mx" in verdict.cases[0].names


def test_requiretls_is_told() -> None:
    """RFC 8689 §2"""
    asked = make_test(session(Case.GOOD, ENCRYPTED, requiretls=True))
    assert find_answer(judge(asked), Question.REQUIRETLS) is Answer.YES
    not_asked = make_test(session(Case.GOOD, ENCRYPTED))
    assert find_answer(judge(not_asked), Question.REQUIRETLS) is Answer.NO


def test_what_a_client_makes_up_is_listed_so_far() -> None:
    sessions = [session(Case.GOOD, ENCRYPTED, sni=f"{each}.example") for each in range(50)]
    assert len(judge(make_test(*sessions)).cases[0].names) == MAX_LISTED
