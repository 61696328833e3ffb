"""Servers that misbehave, each met twice: by Postfix and by us, at several levels.

A `Case` is one server at one level: Postfix and we meet the same one.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from letterlock.protocols.pki.throwaway_ca import (
    CLIENT_AUTH,
    GOOD_LEAF,
    Issued,
    KeyKind,
    Shape,
    ThrowawayCa,
    make_name,
    self_signed,
)
from tests.misbehaving import GOOD_EXTENSIONS, Act, Conduct, TlsConduct
from tests.network.certificates import NOW, authority

HOST = "mx.peer.example"
"""The name that both ask for, and want to see in the certificate."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a server does. `conduct` of None: nobody listens. `is_named`: clients send SNI."""

    conduct: Conduct | None
    levels: tuple[str, ...] = ("may", "encrypt", "verify")
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario at a level."""

    name: str
    level: str
    conduct: Conduct | None = field(compare=False)
    is_named: bool

    @property
    def domain(self) -> str:
        """Where its mail goes."""
        return f"{self.name}.{self.level}.example"

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.level


def _leaf(
    *names: str, shape: Shape = GOOD_LEAF, key: KeyKind = "ec", ca: ThrowawayCa | None = None
) -> Issued:
    return (ca or authority()).issue(names or (HOST,), now=NOW, shape=shape, key=key)


def _with(issued: Issued, **tls: object) -> Conduct:
    return Conduct(certificate=issued, tls=TlsConduct(**tls))  # type: ignore[arg-type] # passed on


def _only(version: ssl.TLSVersion) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    return version, version


def _dated(before: timedelta, after: timedelta) -> Shape:
    return replace(GOOD_LEAF, not_before=NOW + before, not_after=NOW + after)


def _make_scenarios() -> Mapping[str, Scenario]:
    """Make the servers; keys are new each time."""
    good, rsa = _leaf(), _leaf(key="rsa")
    return {
        **{name: Scenario(each) for name, each in _certificates(good).items()},
        **{name: Scenario(each) for name, each in _handshakes(good, rsa).items()},
        **_names_withheld(),
        "good": Scenario(Conduct(good), ("none", "may", "encrypt", "verify", "secure")),
        "good-rsa": Scenario(Conduct(rsa)),
        "no-starttls": Scenario(Conduct(has_starttls=False)),
        **{
            name: Scenario(replace(each, certificate=good))
            for name, each in _starttls_answers().items()
        },
        **{
            name: Scenario(replace(each, certificate=good), ("may", "verify"))
            for name, each in _answers().items()
        },
        "nobody-listens": Scenario(None, ("may", "verify")),
    }


def _certificates(good: Issued) -> Mapping[str, Conduct]:
    stranger = ThrowawayCa("Strange CA", NOW)
    below = authority().intermediate("Intermediate", now=NOW)
    old = authority().intermediate(
        "Old", now=NOW, shape=replace(_dated(-9 * _DAY, -_DAY), is_ca=True, eku=None)
    )
    behind = _leaf(ca=below)
    only_cn = replace(GOOD_LEAF, subject=make_name(HOST), general_names=())
    found = {
        "wildcard": _leaf("*.peer.example"),
        "partial-wildcard": _leaf("m*.peer.example"),
        "name-of-another-case": _leaf(HOST.upper()),
        "expired": _leaf(shape=_dated(-9 * _DAY, -_DAY)),
        "not-yet-valid": _leaf(shape=_dated(_DAY, 9 * _DAY)),
        "wrong-name": _leaf("mx.other.example"),
        "name-in-cn-only": _leaf(shape=only_cn),
        "unknown-issuer": _leaf(ca=stranger),
        "self-signed": self_signed([HOST], now=NOW),
        "with-intermediate": behind,
        "missing-intermediate": replace(behind, chain=behind.chain[:1]),
        "expired-intermediate": _leaf(ca=old),
        "issued-by-a-leaf": _leaf(ca=_leaf_as_authority(good)),
        "wrong-purpose": _leaf(shape=replace(GOOD_LEAF, eku=(CLIENT_AUTH,))),
        "weak-key": _leaf(key="rsa-1024"),
        "expired-and-wrong-name": _leaf("mx.other.example", shape=_dated(-9 * _DAY, -_DAY)),
    }
    return {name: Conduct(issued) for name, issued in found.items()}


def _leaf_as_authority(good: Issued) -> ThrowawayCa:
    """Give an authority that is none: its own certificate is a server's."""
    return ThrowawayCa("leaf", NOW, good.key, replace(GOOD_LEAF, eku=None), above=authority())


def _handshakes(good: Issued, rsa: Issued) -> Mapping[str, Conduct]:
    client_ca = authority().pem
    tls12 = _only(ssl.TLSVersion.TLSv1_2)
    return {
        "tls-1.0-only": _with(rsa, versions=_only(ssl.TLSVersion.TLSv1), ciphers="ALL:@SECLEVEL=0"),
        "tls-1.1-only": _with(
            rsa, versions=_only(ssl.TLSVersion.TLSv1_1), ciphers="ALL:@SECLEVEL=0"
        ),
        "tls-1.2-only": _with(rsa, versions=tls12),
        "cbc-only": _with(rsa, versions=tls12, ciphers="ECDHE-RSA-AES128-SHA"),
        "no-forward-secrecy": _with(rsa, versions=tls12, ciphers="AES128-SHA"),
        "anonymous-only": _with(rsa, versions=tls12, ciphers="aNULL:@SECLEVEL=0"),
        "no-encryption": _with(rsa, versions=tls12, ciphers="eNULL:@SECLEVEL=0"),
        "sni-refused": _with(good, is_sni_refused=True),
        "client-certificate-wanted": _with(good, client_ca=client_ca),
        "client-certificate-wanted-1.2": _with(good, client_ca=client_ca, versions=tls12),
    }


def _names_withheld() -> Mapping[str, Scenario]:
    """A provider that shows strangers without SNI a certificate that says so."""
    told = replace(GOOD_LEAF, subject=make_name("No SNI provided; please fix your client."))
    stranger = self_signed(["invalid2.invalid"], now=NOW, shape=told)
    conduct = _with(stranger, by_sni=((HOST, _leaf()),))
    return {
        "name-asked-for": Scenario(conduct),
        "no-name-asked-for": Scenario(conduct, is_named=False),
    }


def _starttls_answers() -> Mapping[str, Conduct]:
    return {
        "starttls-454": Conduct(answers={"STARTTLS": "454 4.7.0 TLS not available"}),
        "starttls-502": Conduct(answers={"STARTTLS": "502 5.5.1 Not implemented"}),
        "starttls-421": Conduct(answers={"STARTTLS": "421 4.3.2 Going down"}),
        "starttls-fin": Conduct(answers={"STARTTLS": Act.CLOSE}),
        "starttls-silence": Conduct(answers={"STARTTLS": Act.SILENCE}),
        "handshake-garbage": Conduct(instead_of_tls=b"garbage, no TLS at all\r\n"),
        "handshake-fin": Conduct(instead_of_tls=Act.CLOSE),
        "handshake-rst": Conduct(instead_of_tls=Act.RESET),
        "handshake-silence": Conduct(instead_of_tls=Act.SILENCE),
        "injected": Conduct(injected=b"250 injected\r\n"),
        "fin-at-ehlo-under-tls": Conduct(under_tls={"EHLO": Act.CLOSE}),
        "rst-at-ehlo-under-tls": Conduct(under_tls={"EHLO": Act.RESET}),
        "421-at-ehlo-under-tls": Conduct(under_tls={"EHLO": "421 4.3.2 Going down"}),
    }


def _answers() -> Mapping[str, Conduct]:
    one_at_a_time = tuple(word for word in GOOD_EXTENSIONS if word != "PIPELINING")
    answers: Mapping[str, tuple[str, str | Act]] = {
        "banner-421": ("banner", "421 4.3.2 Too busy"),
        "banner-450": ("banner", "450 4.3.2 Not now"),
        "banner-554": ("banner", "554 5.7.1 Go away"),
        "banner-garbage": ("banner", "hello, who are you?"),
        "banner-fin": ("banner", Act.CLOSE),
        "banner-silence": ("banner", Act.SILENCE),
        "ehlo-502": ("EHLO", "502 5.5.1 Not implemented"),
        "ehlo-fin": ("EHLO", Act.CLOSE),
        "mail-450": ("MAIL", "450 4.3.2 Not now"),
        "mail-550": ("MAIL", "550 5.7.1 Not from you"),
        "mail-fin": ("MAIL", Act.CLOSE),
        "rcpt-450": ("RCPT", "450 4.2.1 Not now"),
        "rcpt-550": ("RCPT", "550 5.1.1 No such user"),
        "rcpt-552": ("RCPT", "552 5.2.2 Full"),
        "rcpt-silence": ("RCPT", Act.SILENCE),
        "data-451": ("DATA", "451 4.3.0 Not now"),
        "data-554": ("DATA", "554 5.7.1 No"),
        "data-fin": ("DATA", Act.CLOSE),
        "end-451": (".", "451 4.3.0 Not now"),
        "end-554": (".", "554 5.7.1 Spam"),
        "end-fin": (".", Act.CLOSE),
        "end-rst": (".", Act.RESET),
        "end-silence": (".", Act.SILENCE),
    }
    return {
        **{name: Conduct(answers={verb: answer}) for name, (verb, answer) in answers.items()},
        "rcpt-550-no-pipelining": Conduct(
            extensions=one_at_a_time, answers={"RCPT": "550 5.1.1 No such user"}
        ),
        "content-fin": Conduct(during_content=Act.CLOSE),
        "content-rst": Conduct(during_content=Act.RESET),
        "no-extended-codes": Conduct(answers={"RCPT": "550 No such user"}),
    }


def make_cases() -> list[Case]:
    return [
        Case(name, level, scenario.conduct, scenario.is_named)
        for name, scenario in _make_scenarios().items()
        for level in scenario.levels
    ]
