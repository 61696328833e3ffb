"""Which certificate a client gets: chosen by its ClientHello, reloaded when files change.

RFC 6066 §3 (server_name); RFC 7672 §8.1 and RFC 8461 §7.1: a client that sends no name, or one we
don't have, gets the default certificate and a handshake that goes on. That goes before RFC 9325
§3.7, which would rather refuse. RFC 9325 §3.4 (tickets), §4.2.1 (order of ciphers). OpenSSL itself
refuses an extension that can't be read, and a name with a NUL or of more than 255 octets.

Contexts are made at start and on reload, before workers fork: workers share their ticket keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from OpenSSL import SSL

from letterlock.base.domains import DomainError
from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import (
    FileStamp,
    KeyPair,
    find_stamp,
    load_key_pair,
    use_key_pair,
)
from letterlock.network.tls_settings import SERVER_CIPHERS, make_context
from letterlock.protocols.tls.client_hello import ClientHello, KeyType
from letterlock.protocols.tls.server_name import parse_server_name

TICKET_LIFETIME = timedelta(days=1)
"""RFC 8446 §4.6.1: at most 7 days; RFC 9325 §3.4: less than the week that a ticket key lives."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How we serve TLS, whichever the certificate. `ciphers` are TLS 1.2's; None: ours."""

    min_version: str = "TLSv1.2"
    ciphers: str | None = None
    has_session_tickets: bool = True


class ChoiceReason(StrEnum):
    """Why a client got the certificate it got."""

    MATCHED = "matched"
    NO_SNI = "no-sni"
    UNKNOWN_NAME = "unknown-name"
    NOT_A_NAME = "not-a-name"
    """It asked for an address, or for something that is no domain name."""
    KEY_TYPE = "key-type"
    """We have the name, but with no type of key that the client can use: it got another name's."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a client gets. `names` are the certificate's; the default's when `is_default`."""

    context: SSL.Context
    names: tuple[str, ...]
    is_default: bool
    reason: ChoiceReason


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """What `letterlock status` tells of a certificate."""

    names: tuple[str, ...]
    not_after: datetime


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a look at the files gave: paths loaded anew, and one line for each that couldn't be."""

    loaded: tuple[Path, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Offer:
    """One context: pairs of different key types that hold a name in common."""

    context: SSL.Context
    names: tuple[str, ...]
    key_types: frozenset[KeyType]

    def fits(self, hello: ClientHello) -> bool:
        return any(hello.fits(key_type) for key_type in self.key_types)


@dataclass(frozen=True, slots=True)
class _Offers:
    """All that can be chosen from. `by_key_type` serves clients that nothing else fits."""

    default: _Offer
    by_name: dict[str, _Offer]
    by_key_type: dict[KeyType, _Offer]


class ServerCertificates:
    """Our certificates; the first pair is the default one."""

    def __init__(
        self, files: Sequence[tuple[Path, Path]], settings: ServerSettings | None = None
    ) -> None:
        """Load each (certificate, key); raises LocalError for the first that can't be used."""
        if not files:
            raise LocalError("TLS needs at least one certificate and its key")
        self._files = [(Path(certificate), Path(key)) for certificate, key in files]
        self._settings = settings if settings is not None else ServerSettings()
        self._stamps = [_find_stamps(pair) for pair in self._files]
        self._pairs = [load_key_pair(certificate, key) for certificate, key in self._files]
        self._offers = _make_offers(self._pairs, self._settings)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is not wrong but should be known, one line each."""
        return tuple(warning for pair in self._pairs for warning in pair.warnings)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a client can ask for."""
        return tuple(self._offers.by_name)

    @property
    def summaries(self) -> tuple[CertificateSummary, ...]:
        """Give each certificate's names and end, in the order of the files."""
        return tuple(
            CertificateSummary(pair.names, pair.chain[0].not_valid_after_utc)
            for pair in self._pairs
        )

    def choose(self, hello: ClientHello | None) -> Choice:
        """Choose for a client; None stands for one whose ClientHello could not be read."""
        offers = self._offers
        if hello is None or hello.sni is None:
            return _fit(offers, offers.default, hello, ChoiceReason.NO_SNI)
        name = _parse_sni(hello.sni)
        if name is None:
            return _fit(offers, offers.default, hello, ChoiceReason.NOT_A_NAME)
        offer = offers.by_name.get(name) or offers.by_name.get(f"*.{name.partition('.')[2]}")
        if offer is None:
            return _fit(offers, offers.default, hello, ChoiceReason.UNKNOWN_NAME)
        return _fit(offers, offer, hello, ChoiceReason.MATCHED)

    def renew_ticket_keys(self) -> None:
        """Make new contexts: each has ticket keys of its own (RFC 9325 §3.4)."""
        self._offers = _make_offers(self._pairs, self._settings)

    def reload_if_changed(self) -> ReloadResult:
        """Load pairs whose files changed. What can't be loaded stays as it was and is tried again.

        A certificate that came before its key doesn't match it: that is a fault until the key
        comes. Connections keep the context they began with.
        """
        pairs, stamps = list(self._pairs), list(self._stamps)
        loaded: list[Path] = []
        faults: list[str] = []
        for index, files in enumerate(self._files):
            stamp = _find_stamps(files)
            if stamp == self._stamps[index]:
                continue
            try:
                pairs[index] = load_key_pair(*files)
            except LocalError as error:
                faults.append(str(error))
            else:
                stamps[index] = stamp
                loaded.append(files[0])
        if loaded:
            self._offers = _make_offers(pairs, self._settings)
            self._pairs, self._stamps = pairs, stamps
        return ReloadResult(tuple(loaded), tuple(faults))


def _find_stamps(files: tuple[Path, Path]) -> tuple[FileStamp | None, FileStamp | None]:
    # Taken before the files are read: a change while we read is seen at the next look.
    return find_stamp(files[0]), find_stamp(files[1])


def _parse_sni(sni: str) -> str | None:
    try:
        return parse_server_name(sni)
    except DomainError:
        return None


def _fit(offers: _Offers, offer: _Offer, hello: ClientHello | None, reason: ChoiceReason) -> Choice:
    if hello is not None and not offer.fits(hello):
        other = _find_fitting(offers, hello)
        if other is not None:
            offer = other
            reason = ChoiceReason.KEY_TYPE if reason is ChoiceReason.MATCHED else reason
    return Choice(offer.context, offer.names, offer is offers.default, reason)


def _find_fitting(offers: _Offers, hello: ClientHello) -> _Offer | None:
    if offers.default.fits(hello):
        return offers.default
    fitting = (offer for key, offer in offers.by_key_type.items() if hello.fits(key))
    return next(fitting, None)


def _make_offers(pairs: Sequence[KeyPair], settings: ServerSettings) -> _Offers:
    made: dict[tuple[int, ...], _Offer] = {}

    def offer(chosen: Iterable[int]) -> _Offer:
        key = tuple(chosen)
        if key not in made:
            made[key] = _make_offer([pairs[index] for index in key], settings)
        return made[key]

    names = dict.fromkeys(name for pair in pairs for name in pair.names)
    first_of_type = _take_first_of_each_type(pairs, range(len(pairs)))
    main_names = set(pairs[0].names)
    beside = [i for i, pair in enumerate(pairs) if main_names and main_names <= set(pair.names)]
    return _Offers(
        default=offer(_take_first_of_each_type(pairs, [0, *beside])),
        by_name={name: offer(_find_for_name(pairs, name)) for name in names},
        by_key_type={pairs[index].key_type: offer([index]) for index in first_of_type},
    )


def _find_for_name(pairs: Sequence[KeyPair], name: str) -> list[int]:
    wildcard = f"*.{name.partition('.')[2]}"
    exact = [index for index, pair in enumerate(pairs) if name in pair.names]
    wide = [index for index, pair in enumerate(pairs) if wildcard in pair.names]
    return _take_first_of_each_type(pairs, [*exact, *wide])


def _take_first_of_each_type(pairs: Sequence[KeyPair], indexes: Iterable[int]) -> list[int]:
    chosen: dict[KeyType, int] = {}
    for index in indexes:
        chosen.setdefault(pairs[index].key_type, index)
    return list(chosen.values())


def _make_offer(pairs: Sequence[KeyPair], settings: ServerSettings) -> _Offer:
    ciphers = settings.ciphers or SERVER_CIPHERS
    context = make_context(SSL.TLS_SERVER_METHOD, settings.min_version, None, ciphers)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_timeout(int(TICKET_LIFETIME.total_seconds()))
    if not settings.has_session_tickets:
        context.set_options(SSL.OP_NO_TICKET)
    for pair in pairs:
        use_key_pair(context, pair)
    names = dict.fromkeys(name for pair in pairs for name in pair.names)
    return _Offer(context, tuple(names), frozenset(pair.key_type for pair in pairs))
