"""What a server would take, one by one: versions, suites, groups; and what it does with a trick.

RFC 8446 §4.1.4 (the group a server asks for), RFC 9325 §3 and §4. `Explorer` says what to ask next
and is told the answer; it asks nobody itself. A server is never asked twice for the same, and every
list of suites or groups grows shorter with each answer, so it comes to an end by itself.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.groups import GROUPS, OLD_CURVES
from letterlock.protocols.tls.hello_writer import SSL_3_0, TLS_1_0, TLS_1_1, Offer
from letterlock.protocols.tls.server_flight import Answer, ServerChoice
from letterlock.protocols.tls.suites import (
    SUITES,
    Weakness,
    find_weaknesses,
    has_finite_field,
    has_key_exchange,
    is_tls_1_3,
)

VERSIONS = {
    TLS_1_3: "TLSv1.3",
    TLS_1_2: "TLSv1.2",
    TLS_1_1: "TLSv1.1",
    TLS_1_0: "TLSv1",
    SSL_3_0: "SSLv3",
}
"""In the order in which they are asked for, with OpenSSL's names."""
OLD_VERSIONS = (TLS_1_1, TLS_1_0)

_CHACHA = 0xCC
_NEW_SUITES = tuple(filter(is_tls_1_3, SUITES))
# ChaCha20 stands at neither end: some servers follow a client's order where that comes first.
_OLD_SUITES = tuple(
    sorted(
        (suite for suite in SUITES if not is_tls_1_3(suite)),
        key=lambda suite: (suite >> 8 > 0, suite >> 8 != _CHACHA, suite),
    )
)
_ODD = frozenset(Weakness) - {Weakness.NO_FORWARD_SECRECY}
_ODD_SUITES = tuple(suite for suite in _OLD_SUITES if _ODD & set(find_weaknesses(suite)))
_COMMON_SUITES = tuple(suite for suite in _OLD_SUITES if suite not in _ODD_SUITES)
_CURVE_SUITES = tuple(
    suite for suite in _OLD_SUITES if has_key_exchange(suite) and not has_finite_field(suite)
)
_NEW_GROUPS = tuple(GROUPS)
_OLD_GROUPS = (*GROUPS, *OLD_CURVES)


class Offered(StrEnum):
    """Whether a server would take a version."""

    YES = "offered"
    NO = "refused"
    UNKNOWN = "not tested"


class Order(StrEnum):
    """Whose order of suites counts."""

    SERVER = "server"
    CLIENT = "client"


class Injection(StrEnum):
    """What a server does with a command that came in clear right behind STARTTLS."""

    EXECUTED = "executed"
    """Under TLS, as if it had been protected."""
    IN_CLEAR = "answered in clear"
    """Before the handshake, which then cannot be done."""
    DISCARDED = "discarded"
    REFUSED = "refused"
    """It hangs up, or refuses STARTTLS."""
    NOT_TESTED = "not tested"


class Ending(StrEnum):
    """What a server makes of a line end that SMTP does not have, around the dot of an end."""

    TAKEN = "taken for the end"
    NOT_TAKEN = "not taken for the end"
    REFUSED = "refused"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class TakenSuite:
    """A suite that a server takes, in the version in which it was asked for it."""

    version: int
    suite: int
    dh_bits: int | None = None


@dataclass(frozen=True, slots=True)
class DeepTls:
    """What a server would take. Lists are in the order of its choices.

    What is None is not known. Where a list is not complete, the server may take more.
    """

    versions: tuple[tuple[int, Offered], ...]
    suites: tuple[TakenSuite, ...] = ()
    are_suites_complete: bool = False
    order: Order | None = None
    groups: tuple[int, ...] = ()
    are_groups_complete: bool = False
    has_compression: bool | None = None
    has_secure_renegotiation: bool | None = None
    has_extended_master_secret: bool | None = None

    @property
    def dh_bits(self) -> int | None:
        """The smallest prime that was seen; None: there was none.

        Those of anonymous suites do not count: there anybody can be in the middle as it is, and
        OpenSSL takes 1024 bits for them without being asked.
        """
        sizes = (
            each.dh_bits
            for each in self.suites
            if Weakness.ANONYMOUS not in find_weaknesses(each.suite)
        )
        return min((bits for bits in sizes if bits is not None), default=None)

    def find(self, version: int) -> Offered:
        """Give whether it takes a version."""
        return dict(self.versions)[version]

    def has_any(self, versions: Sequence[int]) -> bool:
        """Say if it takes one of several versions."""
        return any(self.find(version) is Offered.YES for version in versions)


@dataclass(frozen=True, slots=True)
class TriedEnding:
    """One wrong end of a message, as text (`<LF>.<LF>`), and what became of it."""

    text: str
    ending: Ending
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DeepFacts:
    """What many connections to one address showed.

    `sni` is the name that they sent. `stopped` says why it ended early; None: all was asked.
    """

    tls: DeepTls
    connections: int
    sni: str | None = None
    stopped: str | None = None
    injection: Injection = Injection.NOT_TESTED
    injection_detail: str = ""
    endings: tuple[TriedEnding, ...] = ()
    speech: Speech = Speech.SMTP


Exploring = Generator[Offer, Answer | None, None]
_Asking = Generator[Offer, Answer | None, ServerChoice | None]


class _OverError(Exception):
    """Nobody answers any more. Stays inside this module."""


@dataclass(slots=True)
class Explorer:
    """Finds out what a server takes: `explore` gives offers, and is sent the answers.

    None for an answer ends it; `conclude` gives what is known at any time. What tells most is asked
    first: versions, then what is weak, groups, and the rest of the suites.
    """

    sni: str | None
    _versions: dict[int, Offered] = field(default_factory=dict)
    _suites: list[TakenSuite] = field(default_factory=list)
    _first: ServerChoice | None = None
    _groups: list[int] = field(default_factory=list)
    _order: Order | None = None
    _are_suites_complete: bool = False
    _are_groups_complete: bool = False

    def conclude(self) -> DeepTls:
        """Put together what is known."""
        first = self._first
        return DeepTls(
            tuple((version, self._versions.get(version, Offered.UNKNOWN)) for version in VERSIONS),
            tuple(self._suites),
            self._are_suites_complete,
            self._order,
            tuple(self._groups),
            self._are_groups_complete,
            None if first is None else first.compression != 0,
            None if first is None else first.has_secure_renegotiation,
            None if first is None else first.has_extended_master_secret,
        )

    def explore(self) -> Exploring:
        """Ask for everything."""
        try:
            yield from self._try_versions()
            old = [version for version in self._list_taken() if version != TLS_1_3]
            if old:
                yield from self._list_suites(old[0], _ODD_SUITES)
            yield from self._list_groups()
            if old:
                yield from self._find_order(old[0])
            if len(old) > 1:
                # A server may keep its worst for its oldest clients.
                yield from self._list_suites(old[-1], self._without_taken(_ODD_SUITES))
            if TLS_1_3 in self._list_taken():
                yield from self._list_suites(TLS_1_3, _NEW_SUITES)
            if old:
                yield from self._list_suites(old[0], _COMMON_SUITES)
            self._are_suites_complete = True
        except _OverError:
            return

    def _list_taken(self) -> list[int]:
        return [version for version in VERSIONS if self._versions.get(version) is Offered.YES]

    def _without_taken(self, suites: Sequence[int]) -> tuple[int, ...]:
        taken = {each.suite for each in self._suites}
        return tuple(suite for suite in suites if suite not in taken)

    def _ask(self, version: int, suites: tuple[int, ...], groups: tuple[int, ...]) -> _Asking:
        answer = yield Offer(version, suites, groups, self.sni)
        if answer is None:
            raise _OverError
        return answer if isinstance(answer, ServerChoice) else None

    def _try_versions(self) -> Exploring:
        for version in VERSIONS:
            if version in self._versions:
                continue
            is_new = version == TLS_1_3
            suites = _NEW_SUITES if is_new else _OLD_SUITES
            choice = yield from self._ask(version, suites, _NEW_GROUPS if is_new else _OLD_GROUPS)
            self._versions[version] = Offered.NO
            if choice is not None and choice.version in VERSIONS and choice.version <= version:
                # RFC 5246 §E.1: it answers with the newest that it has.
                between = [each for each in VERSIONS if choice.version < each < version]
                self._versions |= dict.fromkeys(between, Offered.NO)
                self._versions[choice.version] = Offered.YES
                if not is_new and self._first is None:
                    self._first = choice

    def _list_suites(self, version: int, suites: tuple[int, ...]) -> Exploring:
        left = suites
        groups = _NEW_GROUPS if version == TLS_1_3 else _OLD_GROUPS
        while left:
            choice = yield from self._ask(version, left, groups)
            if choice is None or choice.suite not in left:
                return
            left = tuple(suite for suite in left if suite != choice.suite)
            self._suites.append(TakenSuite(version, choice.suite, choice.dh_bits))

    def _list_groups(self) -> Exploring:
        taken = self._list_taken()
        version = taken[0] if taken else SSL_3_0
        if version == SSL_3_0:
            # It has no groups that could be asked for.
            self._are_groups_complete = True
            return
        is_new = version == TLS_1_3
        left = _NEW_GROUPS if is_new else _OLD_GROUPS
        while left:
            choice = yield from self._ask(version, _NEW_SUITES if is_new else _CURVE_SUITES, left)
            if choice is None or choice.group not in left:
                break
            left = tuple(group for group in left if group != choice.group)
            self._groups.append(choice.group)
        self._are_groups_complete = True

    def _find_order(self, version: int) -> Exploring:
        first = self._first
        other = yield from self._ask(version, _OLD_SUITES[::-1], _OLD_GROUPS)
        if first is None or other is None:
            return
        if other.suite != first.suite:
            self._order = Order.CLIENT
            return
        # The same may be all that it has.
        rest = tuple(suite for suite in _OLD_SUITES if suite != first.suite)
        if (yield from self._ask(version, rest, _OLD_GROUPS)) is not None:
            self._order = Order.SERVER
