"""Which of our certificates fits a ClientHello: an index of names, and what serves everyone else.

RFC 6066 §3 (server_name); RFC 7672 §8.1 and RFC 8461 §7.1: a client that sends no name, or one we
don't have, gets the default certificate and a handshake that goes on. That goes before RFC 9325
§3.7, which would rather refuse.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from OpenSSL import SSL

from letterlock.base.domains import DomainError
from letterlock.network.served_pairs import ServedPair
from letterlock.protocols.tls.client_hello import ClientHello, KeyType
from letterlock.protocols.tls.server_name import parse_server_name

_PREFERRED = (KeyType.ECDSA, KeyType.ED25519, KeyType.RSA)
"""What costs us less goes first, where a client can use both."""


class ChoiceReason(StrEnum):
    """Why a client got the certificate it got."""

    MATCHED = "matched"
    NO_SNI = "no-sni"
    UNKNOWN_NAME = "unknown-name"
    NOT_A_NAME = "not-a-name"
    """It asked for an address, or for something that is no domain name."""
    KEY_TYPE = "key-type"
    """We have the name, but with no type of key that the client can use: it got another name's."""
    UNUSABLE = "unusable"
    """We have the name, but OpenSSL refuses its certificate: it got another name's."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a client gets."""

    pair: ServedPair
    is_default: bool
    reason: ChoiceReason

    @property
    def names(self) -> tuple[str, ...]:
        """The certificate's."""
        return self.pair.names

    @property
    def context(self) -> SSL.Context:
        return self.pair.context

    def connect(self) -> SSL.Connection:
        """Make a connection that shows this certificate."""
        connection = SSL.Connection(self.pair.context, None)
        self.pair.use_on(connection)
        return connection


Pairs = tuple[ServedPair, ...]
"""At most one for each type of key and curve, the preferred first."""


@dataclass(frozen=True, slots=True)
class Offers:
    """All that can be chosen from. `others` serve clients that nothing else fits."""

    default: Pairs
    by_name: dict[str, Pairs]
    others: Pairs

    def choose(self, hello: ClientHello | None) -> Choice:
        """Choose for a client; None stands for one whose ClientHello could not be read."""
        if hello is None or hello.sni is None:
            return self._fit(self.default, hello, ChoiceReason.NO_SNI)
        name = _parse_sni(hello.sni)
        if name is None:
            return self._fit(self.default, hello, ChoiceReason.NOT_A_NAME)
        pairs = find_by_name(self.by_name, name)
        if pairs is None:
            return self._fit(self.default, hello, ChoiceReason.UNKNOWN_NAME)
        return self._fit(pairs, hello, ChoiceReason.MATCHED)

    def _fit(self, pairs: Pairs, hello: ClientHello | None, reason: ChoiceReason) -> Choice:
        for pair in pairs:
            if (hello is None or pair.fits(hello)) and pair.make_ready():
                return Choice(pair, pair in self.default, reason)
        for pair in self._find_other(pairs, hello):
            if pair.make_ready():
                if reason is ChoiceReason.MATCHED and pair not in pairs:
                    reason = _explain(pairs, hello)
                return Choice(pair, pair in self.default, reason)
        raise AssertionError("the default is tried before it is offered")

    def _find_other(self, pairs: Pairs, hello: ClientHello | None) -> Iterator[ServedPair]:
        for pair in (*self.default, *self.others):
            if hello is None or pair.fits(hello):
                yield pair
        # OpenSSL has the last word on what the client can use, and sends the alert.
        yield from pairs
        yield from self.default


def make_offers(pairs: Sequence[ServedPair], default: Pairs) -> Offers:
    """Index pairs; of those with the same name and type of key the first is offered."""
    exact: dict[str, list[ServedPair]] = {}
    for pair in pairs:
        for name in pair.names:
            exact.setdefault(name, []).append(pair)
    by_name = {
        name: take_first_of_each_type([*named, *exact.get(_make_wildcard(name), ())])
        for name, named in exact.items()
    }
    return Offers(default, by_name, take_first_of_each_type(pairs))


def find_by_name(by_name: dict[str, Pairs], name: str) -> Pairs | None:
    """Find what is offered for a name; None: nothing."""
    return by_name.get(name) or by_name.get(_make_wildcard(name))


def take_first_of_each_type(pairs: Iterable[ServedPair]) -> Pairs:
    chosen: dict[object, ServedPair] = {}
    for pair in pairs:
        chosen.setdefault((pair.key_type, pair.curve), pair)
    return tuple(sorted(chosen.values(), key=_rank))


def _rank(pair: ServedPair) -> int:
    return _PREFERRED.index(pair.key_type)


def _make_wildcard(name: str) -> str:
    return f"*.{name.partition('.')[2]}"


def _explain(pairs: Pairs, hello: ClientHello | None) -> ChoiceReason:
    is_fitting = any(hello is None or pair.fits(hello) for pair in pairs)
    return ChoiceReason.UNUSABLE if is_fitting else ChoiceReason.KEY_TYPE


def _parse_sni(sni: str) -> str | None:
    try:
        return parse_server_name(sni)
    except DomainError:
        return None
