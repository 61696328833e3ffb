"""RFC 8555 §8.2: an authority is told when a proof can be seen, and not before."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from socket import socket

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.network import challenge_look
from letterlock.network.challenge_look import Unseen, look_at_alpn, look_at_http
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.services.certify.solving.stored import OwnListeners
from tests.fakes import FakeClock

SEEN = None
REFUSED = Unseen("Connection refused")
WRONG = Unseen("HTTP status 404", is_answered=True)
IPV4, IPV6 = ("127.0.0.1", 80), ("::1", 80)
EVERYWHERE = (ListenAddress("0.0.0.0", 80), ListenAddress("::", 80))


class Places:
    """What is seen at each place; the last of it for good."""

    def __init__(self, seen: Mapping[tuple[str, int], Sequence[Unseen | None]]) -> None:
        self._seen = {place: list(each) for place, each in seen.items()}
        self.looks = 0

    async def look(self, ip: str, port: int) -> Unseen | None:
        self.looks += 1
        left = self._seen[ip, port]
        return left.pop(0) if len(left) > 1 else left[0]


async def wait_for(places: Places, listen: Sequence[ListenAddress]) -> tuple[str | None, float]:
    """Wait; gives what is said, and how long it took."""
    clock = FakeClock()

    async def pause(seconds: float) -> None:
        clock.move(timedelta(seconds=seconds))

    own = OwnListeners(listen, timedelta(seconds=10), pause)
    return await own.wait_for(places.look, clock), clock.monotonic()


async def test_without_listeners_of_our_own_nothing_is_looked_at() -> None:
    places = Places({})
    assert await wait_for(places, ()) == (None, 0.0)
    assert places.looks == 0


@pytest.mark.parametrize(("ipv4", "ipv6"), [(SEEN, SEEN), (SEEN, REFUSED), (REFUSED, SEEN)])
async def test_an_address_of_several_is_enough(ipv4: Unseen | None, ipv6: Unseen | None) -> None:
    """`::` is among the settings where there is no IPv6 too. What listens at all is on loopback."""
    places = Places({IPV4: [ipv4], IPV6: [ipv6]})
    assert await wait_for(places, EVERYWHERE) == (None, 0.0)


async def test_a_node_that_has_just_started_is_given_time() -> None:
    places = Places({IPV4: [REFUSED, REFUSED, SEEN], IPV6: [REFUSED]})
    assert await wait_for(places, EVERYWHERE) == (None, 1.0)


async def test_where_nobody_listens_is_told_in_the_end() -> None:
    places = Places({IPV4: [REFUSED], IPV6: [Unseen("Network is unreachable")]})
    told, seconds = await wait_for(places, EVERYWHERE)
    assert told == (
        "our own listener does not show the proof: "
        "127.0.0.1:80: Connection refused; [::1]:80: Network is unreachable"
    )
    assert seconds == 10.0


async def test_a_wrong_answer_is_told_at_once() -> None:
    """Even where another address is right: an authority may ask at either."""
    places = Places({IPV4: [SEEN], IPV6: [WRONG]})
    told, seconds = await wait_for(places, EVERYWHERE)
    assert told == "our own listener does not show the proof: [::1]:80: HTTP status 404"
    assert seconds == 0.0


async def test_an_address_of_its_own_is_looked_at_there() -> None:
    places = Places({("192.0.2.1", 8080): [SEEN]})
    assert await wait_for(places, [ListenAddress("192.0.2.1", 8080)]) == (None, 0.0)
    assert places.looks == 1


async def test_a_port_without_a_listener_refuses() -> None:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        name = parse_identifier("mx1.example.org")
        assert await look_at_http("127.0.0.1", port, name, "t", "t.k") == REFUSED
        assert await look_at_alpn("127.0.0.1", port, name, "t.k") == REFUSED


async def test_a_listener_that_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(challenge_look, "LOOK_SECONDS", 0.2)
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        name = parse_identifier("mx1.example.org")
        for look in (
            look_at_http("127.0.0.1", port, name, "t", "t.k"),
            look_at_alpn("127.0.0.1", port, name, "t.k"),
        ):
            assert await look == Unseen("no answer within 0.2 seconds")
