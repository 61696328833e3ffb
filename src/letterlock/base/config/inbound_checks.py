"""What must hold between the settings of the inbound test, and those of what listens beside it."""

from collections.abc import Iterator, Sequence

from letterlock.base.config.conflicts import Conflict
from letterlock.base.config.locate import KeyPath
from letterlock.base.config.sections import Config
from letterlock.base.config.values import ListenAddress

_ALL_ADDRESSES = {"0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
_LISTENS = ("listen", "listen_expired", "listen_no_starttls", "listen_https")


def find_inbound_conflicts(config: Config) -> Iterator[Conflict]:
    """Find what contradicts."""
    section, others = config.inbound, (("inbound", "domain"),)
    if (section.expired_certificate is None) != (section.expired_key is None):
        key = "expired_certificate" if section.expired_certificate else "expired_key"
        yield Conflict(("inbound", key), "needs expired_certificate and expired_key, both")
    if section.domain is None:
        return
    for key in ("certificates", "listen"):
        if not getattr(section, key):
            yield Conflict(("inbound", "domain"), f"needs {key}", (("inbound", key), *others))
    if not config.send.enabled:
        text = "needs it on: what was seen is told by a mail that is dropped"
        yield Conflict(("send", "enabled"), text, others)
    yield from _check_places(config)


def _check_places(config: Config) -> Iterator[Conflict]:
    """Find addresses that something else listens on: a host is told by its address alone."""
    taken: dict[KeyPath, Sequence[ListenAddress]]
    taken = {("receive", "listen"): config.receive.listen}
    if config.publishing.mta_sts.domains or config.tlsrpt.posts.enabled:
        taken["publishing", "mta_sts", "listen"] = config.publishing.mta_sts.listen
    for key in _LISTENS:
        addresses: Sequence[ListenAddress] = getattr(config.inbound, key)
        for index, address in enumerate(addresses):
            for other, theirs in taken.items():
                if any(_is_same_place(address, each) for each in theirs):
                    taker = ".".join(map(str, other))
                    text = f"{address}: {taker} takes that; name addresses there"
                    yield Conflict(("inbound", key, index), text, (other,))
        taken["inbound", key] = addresses


def _is_same_place(one: ListenAddress, other: ListenAddress) -> bool:
    """Say whether the system gives only one of two addresses: `0.0.0.0` is all of IPv4."""
    if not one.port or one.port != other.port or (":" in one.host) != (":" in other.host):
        return False
    return one.host == other.host or {one.host, other.host} & _ALL_ADDRESSES != set()
