"""From sessions to what a sender does: which host it delivered to, and so which policies it keeps.

RFC 7672 §2.2 and §1.3 (DANE, opportunistic), RFC 8461 §5 (MTA-STS), RFC 7435 §3, RFC 8689 §2. Only
what two hosts differ in says anything: each answer rests on a host and on one that is like it but
for one thing, and is `unknown` while either was not tried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from letterlock.protocols.inbound.cases import PLACE_BY_CASE, Case
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen

MAX_LISTED = 10
"""Different names, ciphers and so on of one host: a client may make up as many as it likes."""


class Outcome(StrEnum):
    """What became of mail to a host, as far as was seen."""

    ENCRYPTED = "encrypted"
    """It was delivered under TLS, each time."""
    CLEAR = "clear"
    """It was delivered without TLS, once at least."""
    REFUSED = "refused"
    """The sender came, and left without delivering."""
    PROBABLY_REFUSED = "probably-refused"
    """Nothing was delivered, and the sender left the address without saying which host it meant."""
    NOT_SEEN = "not-seen"
    """The sender did not come, or was not told from others."""
    NOT_OFFERED = "not-offered"
    """The host had no address when the test was made."""


class Answer(StrEnum):
    """What is said to a question."""

    YES = "yes"
    NO = "no"
    SOMETIMES = "sometimes"
    UNKNOWN = "unknown"


class Question(StrEnum):
    """What is asked of a sender."""

    TLS = "tls"
    """Does it use TLS where it is offered?"""
    REQUIRES_TLS = "requires-tls"
    """Does it keep its mail rather than send it in clear?"""
    FALLS_BACK = "falls-back-to-clear"
    """Does it send in clear to a host whose handshake failed?"""
    SNI = "sni"
    """Does it say which host it means?"""
    VERIFIES = "verifies-always"
    """Does it want a certificate that proves the host, with no policy asking for it?"""
    DANE = "dane"
    """Does it keep to TLSA records?"""
    MTA_STS = "mta-sts"
    """Does it keep to MTA-STS policies?"""
    REQUIRETLS = "requiretls"
    """Did it ask for REQUIRETLS?"""


@dataclass(frozen=True, slots=True)
class CaseSeen:
    """One host: what became of mail to it, and how its sessions were."""

    case: Case
    outcome: Outcome
    sessions: int = 0
    versions: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The names that were asked for (SNI)."""
    unnamed: int = 0
    """Handshakes in which none was."""
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and what it rests on, for people."""

    question: Question
    answer: Answer
    evidence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """All of it. `unplaced` are sessions that left without saying which host they meant."""

    cases: tuple[CaseSeen, ...]
    answers: tuple[Answered, ...]
    unplaced: int = 0


_TAKEN = {Outcome.ENCRYPTED, Outcome.CLEAR}


def judge(test: InboundTest) -> Verdict:
    """Say what the sender of a test does."""
    sessions = test.sessions
    unplaced = [each for each in sessions if not each.cases]
    cases = tuple(_look_at(case, test, unplaced) for case in Case)
    by_case = {each.case: each.outcome for each in cases}
    answers = (
        _ask_tls(by_case),
        _ask_clear(by_case),
        _ask_fallback(cases),
        _ask_sni(sessions),
        _ask_verifying(by_case),
        _ask_dane(by_case),
        _ask_mta_sts(by_case),
        _ask_requiretls(sessions),
    )
    return Verdict(cases, answers, len(unplaced))


def find_answer(verdict: Verdict, question: Question) -> Answer:
    """Give the answer to one question."""
    return next(each.answer for each in verdict.answers if each.question is question)


def _look_at(case: Case, test: InboundTest, unplaced: Sequence[SessionSeen]) -> CaseSeen:
    named = [each for each in test.sessions if case in each.cases]
    handshakes = [each.tls for each in named if each.tls is not None]
    begun = [each for each in named if each.has_handshake]
    return CaseSeen(
        case,
        _find_outcome(case, test, named, unplaced),
        sessions=len(named),
        versions=_unique(each.version for each in handshakes),
        ciphers=_unique(each.cipher for each in handshakes),
        groups=_unique(each.group for each in handshakes if each.group is not None),
        names=_unique(each.sni for each in begun if each.sni is not None),
        unnamed=sum(each.sni is None for each in begun),
        failures=_unique(each.failure for each in named if each.failure is not None),
    )


def _find_outcome(
    case: Case,
    test: InboundTest,
    named: Sequence[SessionSeen],
    unplaced: Sequence[SessionSeen],
) -> Outcome:
    delivered = [each for each in named if case in each.delivered]
    if delivered:
        is_encrypted = all(each.is_encrypted for each in delivered)
        return Outcome.ENCRYPTED if is_encrypted else Outcome.CLEAR
    if case not in test.offered:
        return Outcome.NOT_OFFERED
    if named:
        return Outcome.REFUSED
    if any(each.place is PLACE_BY_CASE[case] for each in unplaced):
        return Outcome.PROBABLY_REFUSED
    return Outcome.NOT_SEEN


def _ask_tls(outcomes: dict[Case, Outcome]) -> Answered:
    match outcomes[Case.GOOD]:
        case Outcome.ENCRYPTED:
            found = Answer.YES, "mail to the good host came under TLS"
        case Outcome.CLEAR:
            found = Answer.NO, "mail to the good host came in clear, where STARTTLS is offered"
        case _:
            found = Answer.UNKNOWN, "no mail came to the good host"
    return Answered(Question.TLS, *found)


def _ask_clear(outcomes: dict[Case, Outcome]) -> Answered:
    question = Question.REQUIRES_TLS
    outcome = outcomes[Case.NO_STARTTLS]
    if outcome in _TAKEN:
        return Answered(question, Answer.NO, "mail came in clear to the host without STARTTLS")
    if outcome is Outcome.REFUSED and outcomes[Case.GOOD] in _TAKEN:
        text = "the sender left the host without STARTTLS, and delivered to the good one"
        return Answered(question, Answer.YES, text)
    return Answered(question, Answer.UNKNOWN, _explain_unknown(outcomes, Case.NO_STARTTLS))


def _ask_fallback(cases: Sequence[CaseSeen]) -> Answered:
    question = Question.FALLS_BACK
    failed = [each for each in cases if each.failures]
    if not failed:
        return Answered(question, Answer.UNKNOWN, "no handshake failed")
    clear = [each.case.value for each in failed if each.outcome is Outcome.CLEAR]
    if clear:
        text = f"after a handshake that failed, mail came in clear: {', '.join(clear)}"
        return Answered(question, Answer.YES, text)
    names = ", ".join(each.case.value for each in failed)
    return Answered(question, Answer.NO, f"handshakes failed, and no mail came in clear: {names}")


def _ask_sni(sessions: Sequence[SessionSeen]) -> Answered:
    begun = [each for each in sessions if each.has_handshake]
    named = sum(each.sni is not None for each in begun)
    if not begun:
        return Answered(Question.SNI, Answer.UNKNOWN, "there was no handshake")
    answer = Answer.SOMETIMES
    if named == len(begun):
        answer = Answer.YES
    elif not named:
        answer = Answer.NO
    return Answered(Question.SNI, answer, f"{named} of {len(begun)} handshakes named a host")


def _ask_verifying(outcomes: dict[Case, Outcome]) -> Answered:
    question = Question.VERIFIES
    for case in (Case.WRONG_NAME, Case.EXPIRED):
        if outcomes[case] in _TAKEN:
            text = f"mail came to the host {case.value}, whose certificate does not prove it"
            return Answered(question, Answer.NO, text)
    for case in (Case.WRONG_NAME, Case.EXPIRED):
        if outcomes[case] is Outcome.REFUSED and outcomes[Case.GOOD] is Outcome.ENCRYPTED:
            text = f"the sender left the host {case.value}, and delivered to the good one"
            return Answered(question, Answer.YES, text)
    return Answered(question, Answer.UNKNOWN, _explain_unknown(outcomes, Case.WRONG_NAME))


def _ask_dane(outcomes: dict[Case, Outcome]) -> Answered:
    question = Question.DANE
    if outcomes[Case.BAD_TLSA] in _TAKEN:
        text = "mail came to the host whose TLSA record is of another key (if its zone is signed)"
        return Answered(question, Answer.NO, text)
    # The good host has a certificate that is as good: nothing but the record keeps mail away.
    # RFC 7672 §8.1: a sender that keeps to TLSA records names the host, so REFUSED is told.
    if outcomes[Case.BAD_TLSA] is Outcome.REFUSED and outcomes[Case.GOOD] in _TAKEN:
        text = "the sender left the host with the wrong TLSA record, and delivered to the good one"
        return Answered(question, Answer.YES, text)
    return Answered(question, Answer.UNKNOWN, _explain_unknown(outcomes, Case.BAD_TLSA))


def _ask_mta_sts(outcomes: dict[Case, Outcome]) -> Answered:
    question = Question.MTA_STS
    outcome, alike = outcomes[Case.MTA_STS], outcomes[Case.WRONG_NAME]
    if outcome in _TAKEN:
        text = "mail came to the host whose certificate does not meet its domain's policy"
        return Answered(question, Answer.NO, text)
    if outcome is Outcome.REFUSED and alike in _TAKEN:
        text = (
            "the sender left the host under a policy, and delivered to wrong-name, which has none"
        )
        return Answered(question, Answer.YES, text)
    if outcome is Outcome.REFUSED and alike is Outcome.REFUSED:
        text = "the sender left wrong-name too: it verifies always, and needs no policy for that"
        return Answered(question, Answer.UNKNOWN, text)
    missing = Case.WRONG_NAME if outcome is Outcome.REFUSED else Case.MTA_STS
    return Answered(question, Answer.UNKNOWN, _explain_unknown(outcomes, missing))


def _ask_requiretls(sessions: Sequence[SessionSeen]) -> Answered:
    question = Question.REQUIRETLS
    if any(each.requiretls for each in sessions):
        return Answered(question, Answer.YES, "MAIL asked for it")
    if any(each.delivered and each.is_encrypted for each in sessions):
        return Answered(question, Answer.NO, "it was offered, and no MAIL asked for it")
    return Answered(question, Answer.UNKNOWN, "no mail came under TLS")


def _explain_unknown(outcomes: dict[Case, Outcome], case: Case) -> str:
    if outcomes[case] is Outcome.NOT_OFFERED:
        return f"{case.value} has no address here"
    if outcomes[case] is Outcome.NOT_SEEN:
        return f"the sender did not come to {case.value} yet"
    if outcomes[case] is Outcome.PROBABLY_REFUSED:
        return "the sender left the address without saying which of its hosts it meant"
    return "no mail came to the good host, so that what keeps it away is not known"


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))[:MAX_LISTED]
