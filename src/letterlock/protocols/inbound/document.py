"""A test and its verdict as one document: for JSON, and for the texts and pages made of it."""

from datetime import datetime
from typing import Any

from letterlock.protocols.inbound.cases import Case, HostNames
from letterlock.protocols.inbound.facts import InboundTest, SessionSeen
from letterlock.protocols.inbound.verdict import CaseSeen, Verdict, judge

STATES = {
    "encrypted": "delivered under TLS",
    "clear": "delivered in clear",
    "refused": "the sender came, and left without delivering",
    "probably-refused": "not delivered; the sender left without saying which host it meant",
    "not-seen": "the sender did not come yet",
    "not-offered": "has no address here",
}
FAULTS = {
    Case.GOOD: "nothing is wrong with it",
    Case.EXPIRED: "its certificate has ended",
    Case.WRONG_NAME: "its certificate is not for its name",
    Case.NO_STARTTLS: "it does not offer STARTTLS",
    Case.BAD_TLSA: "its TLSA record is of another key",
    Case.MTA_STS: "its certificate is not what the domain's MTA-STS policy wants",
}
QUESTIONS = {
    "tls": "uses TLS where it is offered",
    "requires-tls": "keeps its mail rather than send it in clear",
    "falls-back-to-clear": "sends in clear where a handshake failed",
    "sni": "names the host in its handshakes (SNI)",
    "verifies-always": "wants a certificate that proves the host, without any policy",
    "dane": "keeps to TLSA records (DANE)",
    "mta-sts": "keeps to MTA-STS policies",
    "requiretls": "asked for REQUIRETLS",
}


def describe_test(test: InboundTest, names: HostNames, page: str | None) -> dict[str, Any]:
    """Give a test without what was seen; `page` is its URL, None where none is served."""
    return {
        "token": test.token,
        "created": _format(test.created),
        "expires": _format(test.expires),
        "page": page,
        "awaited": test.awaited,
        "addresses": [
            {
                "case": case.value,
                "address": f"{test.token}@{names.mail_domain(case)}",
                "host": names.host(case),
                "fault": FAULTS[case],
            }
            for case in test.offered
        ],
    }


def describe_result(test: InboundTest, names: HostNames, page: str | None) -> dict[str, Any]:
    """Give a test with what was seen and what follows from it. Who wrote is not in it."""
    verdict = judge(test)
    return describe_test(test, names, page) | {
        "reported": _format(test.reported) if test.reported is not None else None,
        "cases": [_describe_case(each) for each in verdict.cases],
        "answers": _describe_answers(verdict),
        "unplaced": verdict.unplaced,
        "sessions": [_describe_session(each) for each in test.sessions],
    }


def _describe_case(seen: CaseSeen) -> dict[str, Any]:
    return {
        "case": seen.case.value,
        "fault": FAULTS[seen.case],
        "outcome": seen.outcome.value,
        "sessions": seen.sessions,
        "versions": list(seen.versions),
        "ciphers": list(seen.ciphers),
        "groups": list(seen.groups),
        "sni": list(seen.names),
        "without_sni": seen.unnamed,
        "failures": list(seen.failures),
    }


def _describe_answers(verdict: Verdict) -> list[dict[str, str]]:
    return [
        {
            "question": each.question.value,
            "answer": each.answer.value,
            "evidence": each.evidence,
        }
        for each in verdict.answers
    ]


def _describe_session(seen: SessionSeen) -> dict[str, Any]:
    tls = seen.tls
    return {
        "started": _format(seen.started),
        "ip": seen.ip,
        "hello": seen.hello,
        "place": seen.place.value,
        "cases": [case.value for case in seen.cases],
        "delivered": [case.value for case in seen.delivered],
        "encrypted": seen.is_encrypted,
        "version": tls.version if tls is not None else None,
        "cipher": tls.cipher if tls is not None else None,
        "group": tls.group if tls is not None else None,
        "sni": seen.sni,
        "failure": seen.failure,
        "requiretls": seen.requiretls,
        "guessed": seen.is_guessed,
    }


def _format(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
