"""What the settings of an inbound test come to: addresses, names and what is wrong with them."""

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import ConfigErrors, parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.inbound import (
    InboundProcess,
    InboundService,
    find_name_faults,
    find_offered,
    find_page,
)
from letterlock.node.inbound_listeners import InboundListeners
from letterlock.protocols.inbound.cases import HostNames, Place
from tests.fakes import FakeLog
from tests.guides import settings_of
from tests.network.certificates import issue, make_chooser, write_pair

HEAD = """
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "data"
[receive]
listen = ["192.0.2.1:25"]
[inbound]
domain = "senders.example.org"
"""
PAIR = 'certificates = [{ certificate = "c.pem", key = "k.pem" }]\n'
LISTEN = 'listen = ["192.0.2.10:25"]\n'
FILE = Path("/etc/letterlock/letterlock.toml")


def config(text: str, head: str = HEAD) -> Config:
    return parse_config(head + text, FILE)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (LISTEN, "needs certificates"),
        (PAIR, "needs listen"),
        (PAIR + 'listen = ["192.0.2.1:25"]', "receive.listen takes that"),
        (PAIR + 'listen = ["0.0.0.0:25"]', "receive.listen takes that"),
        (PAIR + LISTEN + 'listen_expired = ["192.0.2.10:25"]', "inbound.listen takes that"),
        (PAIR + LISTEN + 'expired_key = "k.pem"', "needs expired_certificate and expired_key"),
        (PAIR + LISTEN + "[send]\nenabled = false\n", "needs it on"),
        (PAIR + LISTEN + 'expired_certificate = "k.pem"', "needs expired_certificate"),
        (
            PAIR + LISTEN + 'listen_https = ["192.0.2.1:443"]\n'
            '[publishing.mta_sts]\ndomains = ["example.org"]\n',
            "publishing.mta_sts.listen takes that",
        ),
    ],
)
def test_what_contradicts_is_told(text: str, fault: str) -> None:
    with pytest.raises(ConfigErrors, match=fault):
        config(text)


@pytest.mark.parametrize(
    "text",
    [
        PAIR + LISTEN,
        PAIR + 'listen = ["[::]:25"]',
        PAIR + 'listen = ["192.0.2.1:0"]\nlisten_expired = ["192.0.2.1:0"]',
    ],
)
def test_other_addresses_are_taken(text: str) -> None:
    assert config(text).inbound.domain == "senders.example.org"


def test_the_guide_shows_settings_that_can_be_used() -> None:
    for block in settings_of("inbound-test.md", "toml"):
        found = parse_config(HEAD.partition("[receive]")[0] + block, FILE)
        assert set(find_offered(found.inbound)) == set(Place)
        assert find_page(found.inbound, "x") == "https://senders.example.org/inbound/x"


def test_nothing_is_opened_without_a_domain() -> None:
    with closing(InboundListeners()) as listeners:
        listeners.open(
            config(PAIR + 'listen = ["127.0.0.1:0"]', HEAD.replace("domain =", "#")).inbound
        )
        assert listeners.names == []
        assert listeners.of_place(Place.SHARED) == ()
        assert listeners.web == ()


def test_each_place_has_its_own_sockets() -> None:
    places = 'listen = ["127.0.0.1:0"]\nlisten_https = ["127.0.0.1:0"]\n'
    with closing(InboundListeners()) as listeners:
        listeners.open(config(PAIR + places).inbound)
        assert len(listeners.of_place(Place.SHARED)) == len(listeners.web) == 1
        assert listeners.of_place(Place.EXPIRED) == ()
        assert [each.rpartition(" ")[2] for each in listeners.names] == ["(shared)", "(HTTPS)"]


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ("", None),
        ('listen_https = ["192.0.2.10:443"]', "https://senders.example.org/inbound/x"),
        ('listen_https = ["192.0.2.10:8443"]', "https://senders.example.org:8443/inbound/x"),
    ],
)
def test_the_page_is_where_it_is_served(settings: str, page: str | None) -> None:
    assert find_page(config(PAIR + LISTEN + settings).inbound, "x") == page


def test_a_certificate_has_the_names_of_good_hosts_and_no_others(tmp_path: Path) -> None:
    names = HostNames(Domain("senders.example"))
    assert find_name_faults(make_chooser(tmp_path, issue(names.certified)), names) == []
    wide = issue(("senders.example", "*.good.senders.example", "*.sts.senders.example"))
    assert find_name_faults(make_chooser(tmp_path, wide), names) == [
        "none has the name mx.bad-tlsa.senders.example, whose host should have it",
        "one has the name mx.sts.senders.example, whose host should not have it",
    ]


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_fault_in_a_certificate_keeps_the_test_away_and_nothing_else(
    tmp_path: Path, *, is_there: bool
) -> None:
    """The process runs on, and says why; one that can be used but has wrong names is shown."""
    found = config(PAIR + 'listen = ["127.0.0.1:0"]')
    paths = tmp_path / "c.pem", tmp_path / "k.pem"
    if is_there:
        paths = write_pair(tmp_path, issue(("other.example",)), "other")
    pair = replace(found.inbound.certificates[0], certificate=paths[0], key=paths[1])
    found = replace(found, data_dir=tmp_path, inbound=replace(found.inbound, certificates=(pair,)))
    log, ready = FakeLog(), asyncio.Event()
    with closing(InboundListeners()) as listeners:
        listeners.open(found.inbound)
        process = InboundProcess(InboundService(found, listeners, SystemClock(), log))  # type: ignore[arg-type] # it writes only
        process.look_around()
        running = asyncio.ensure_future(process.run(ready.set))
        await ready.wait()
        async with asyncio.timeout(60):
            while not log.lines:  # noqa: ASYNC110 - of a list
                await asyncio.sleep(0.005)
        process.drain()
        await running
    names = HostNames(Domain("senders.example.org"))
    expected = [f"warning: there is no inbound test: {paths[0]}: No such file or directory"]
    if is_there:
        expected = [
            f"warning: inbound.certificates: none has the name {name}, whose host should have it"
            for name in names.certified
        ]
    assert log.texts == expected
