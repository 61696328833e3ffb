"""What live hosts show, on servers that behave in all ways (letterlock.services.incidents)."""

import ssl
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address

import pytest

from letterlock.base.domains import Domain, parse_domain
from letterlock.network.challenge_look import Unseen
from letterlock.network.served_look import AskedName, look_over_smtp, look_over_tls
from letterlock.protocols.incidents.places import Speech, parse_place
from letterlock.protocols.pki.throwaway_ca import Issued, ThrowawayCa
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed
from letterlock.services.incidents import hosts
from letterlock.services.incidents.findings import Finding, NotAsked, NotOffered, Shown
from letterlock.services.incidents.hosts import HostLooker, IpAddress
from tests.fakes import START
from tests.misbehaving import Act, Conduct, Server, TlsConduct, serving

CA = ThrowawayCa("Ca", START)
EC = CA.issue(["mx.test"], now=START)
RSA = CA.issue(["mx.test"], now=START, key="rsa")
OTHER = CA.issue(["other.test"], now=START)
ED = CA.issue(["mx.test"], now=START, key="ed25519")
QUICK = 0.3
LONG = 60.0
TLS_1_3 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
TLS_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
TLS_1_0 = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1)


async def look_at(
    servers: Sequence[Server], *, seconds: float = LONG, names: Sequence[str] = ()
) -> list[Finding]:
    """Look at one host that has these servers' addresses, on their port."""

    async def find(host: Domain) -> list[IpAddress]:
        assert host == "mx.test"
        return [ip_address(server.ip) for server in servers]

    async def look(ip: str, port: int, asked: AskedName, speech: Speech) -> bytes | Unseen:
        if speech is Speech.STARTTLS:
            return await look_over_smtp(ip, port, asked, "client.test", seconds)
        return await look_over_tls(ip, port, asked, seconds)

    looker = HostLooker(find, look, [parse_domain(name) for name in names])
    return await looker.look_at([parse_place(f"mx.test:{servers[0].port}")])


def show(*found: Finding) -> dict[bytes | str, tuple[str, ...]]:
    """Give which questions showed each certificate, and the reasons of the rest."""
    return {
        each.der if isinstance(each, Shown) else each.reason: each.asked
        for each in found
        if not isinstance(each, NotOffered)
    }


async def test_another_certificate_without_sni_is_found() -> None:
    """RFC 6066 §3."""
    tls = TlsConduct(by_sni=(("mx.test", EC),))
    async with serving(Conduct(OTHER, tls=tls)) as servers:
        found = await look_at(servers)
        assert show(*found) == {EC.der: ("SNI mx.test",), OTHER.der: ("no SNI",)}
        assert {each.source for each in found} == {f"mx.test:{servers[0].port} [{servers[0].ip}]"}
        assert servers[0].seen.mails == []


async def test_other_names_are_asked_for_where_the_operator_says_so() -> None:
    tls = TlsConduct(by_sni=(("other.test", OTHER),))
    async with serving(Conduct(EC, tls=tls)) as servers:
        found = await look_at(servers, names=["other.test", "mx.test"])
    assert show(*found) == {EC.der: ("SNI mx.test", "no SNI"), OTHER.der: ("SNI other.test",)}


@pytest.mark.parametrize("versions", [None, TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("is_implicit", [True, False])
async def test_certificates_of_both_key_types_are_found_whatever_version_is_spoken(
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None, is_implicit: bool
) -> None:
    """RFC 8446 §4.2.3: where only TLS 1.3 is spoken, signatures tell which key is wanted."""
    conduct = Conduct(
        RSA, tls=TlsConduct(versions=versions, second=EC), is_implicit_tls=is_implicit
    )
    async with serving(conduct) as servers:
        found = show(*await look_at(servers))
    assert found.keys() == {EC.der, RSA.der}
    assert sorted(len(asked) for asked in found.values()) == [2, 2]
    assert any(each.endswith(" only") for asked in found.values() for each in asked)


@pytest.mark.parametrize("versions", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("issued", [EC, RSA, ED])
async def test_who_has_one_certificate_refuses_the_other_type_and_has_answered(
    issued: Issued, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    async with serving(Conduct(issued, tls=TlsConduct(versions=versions))) as servers:
        assert show(*await look_at(servers)) == {issued.der: ("SNI mx.test", "no SNI")}


async def test_a_server_of_any_age_shows_its_certificate() -> None:
    tls = TlsConduct(versions=TLS_1_0, ciphers="AES128-SHA:@SECLEVEL=0")
    weak = CA.issue(["mx.test"], now=START, key="rsa-1024")
    async with serving(Conduct(weak, tls=tls)) as servers:
        assert show(*await look_at(servers)) == {weak.der: ("SNI mx.test", "no SNI")}


async def test_a_name_that_is_refused_has_no_certificate_where_others_are_shown() -> None:
    async with serving(Conduct(EC, tls=TlsConduct(is_sni_refused=True))) as servers:
        assert show(*await look_at(servers)) == {EC.der: ("no SNI",)}


async def test_each_address_is_asked() -> None:
    async with serving(Conduct(EC), Conduct(RSA)) as servers:
        found = await look_at(servers)
    assert show(*found).keys() == {EC.der, RSA.der}
    assert [each.source.partition(" ")[2] for each in found] == [f"[{s.ip}]" for s in servers]


@pytest.mark.parametrize(
    ("conduct", "reason"),
    [
        (Conduct(EC, answers={"banner": Act.SILENCE}), "no answer within 0.3 seconds"),
        (Conduct(EC, answers={"EHLO": Act.SILENCE}), "no answer within 0.3 seconds"),
        (Conduct(EC, instead_of_tls=Act.SILENCE), "no answer within 0.3 seconds"),
        (Conduct(EC, has_starttls=False), "it does not offer STARTTLS"),
        (Conduct(EC, answers={"STARTTLS": "454 4.7.0 no"}), "it refused STARTTLS"),
        (Conduct(EC, answers={"banner": "554 5.7.1 go away"}), "it said "),
        (Conduct(EC, instead_of_tls=Act.CLOSE), "closed the connection"),
        (Conduct(EC, instead_of_tls=b"hello world\r\n"), "not TLS"),
        (Conduct(EC, tls=TlsConduct(ciphers="NULL-SHA256:@SECLEVEL=0", versions=TLS_1_2)), "alert"),
    ],
)
async def test_who_shows_nothing_has_not_been_asked(conduct: Conduct, reason: str) -> None:
    seconds = QUICK if "0.3" in reason else LONG
    async with serving(conduct) as servers:
        found = await look_at(servers, seconds=seconds)
    reasons = [each.reason for each in found if isinstance(each, NotAsked)]
    assert len(reasons) == len(found)
    assert any(reason in each for each in reasons)


Answers = Callable[[str, AskedName, int], bytes | Unseen]


async def look_by(answers: Answers, text: str, ips: Sequence[str] = ()) -> list[Finding]:
    """Look at a place whose answers are made up: of the address, the question and the port."""

    async def find(host: Domain) -> list[IpAddress] | str:
        return [ip_address(ip) for ip in ips] or f"the host {host} does not exist"

    async def look(ip: str, port: int, asked: AskedName, _speech: Speech) -> bytes | Unseen:
        return answers(ip, asked, port)

    return await HostLooker(find, look).look_at([parse_place(text)])


CLOSED = Unseen(hosts.REFUSED)


def fail(cause: FailureCause) -> Unseen:
    return Unseen(cause.value, is_answered=True, handshake=HandshakeFailed(cause, cause.value))


def show_ec(asked: AskedName) -> bytes | Unseen:
    """Answer as a server that has one certificate."""
    return fail(FailureCause.ALERT_RECEIVED) if asked.key_type is KeyType.RSA else EC.der


async def test_a_host_that_dns_does_not_know_has_not_been_asked() -> None:
    found = await look_by(lambda *_: CLOSED, "mx.test:25")
    assert found == [NotAsked("mx.test:25", "the host mx.test does not exist")]


async def test_usual_ports_where_nothing_listens_are_not_offered() -> None:
    def answer(_ip: str, asked: AskedName, port: int) -> bytes | Unseen:
        if port == 443:
            return Unseen("Connection timed out")
        return CLOSED if port != 25 or asked.key_type else EC.der

    found = await look_by(answer, "mx.test", ["192.0.2.1"])
    assert [type(each) for each in found] == [NotAsked, Shown, NotAsked, *[NotOffered] * 3]
    assert [each.source for each in found if isinstance(each, NotOffered)] == [
        f"mx.test:{port} [192.0.2.1]" for port in (465, 587, 993)
    ]


@pytest.mark.parametrize("text", ["mx.test", "mx.test:25", "192.0.2.1:25", "[2001:db8::1]:25"])
async def test_where_nothing_listens_at_all_nobody_knows(text: str) -> None:
    (found,) = await look_by(lambda *_: CLOSED, text, ["192.0.2.1"])
    assert isinstance(found, NotAsked)
    assert hosts.REFUSED in found.reason
    assert found.source.startswith(text)


async def test_an_address_that_refuses_beside_one_that_serves_is_not_in_use() -> None:
    found = await look_by(
        lambda ip, asked, _port: show_ec(asked) if ip == "192.0.2.1" else CLOSED,
        "mx.test:25",
        ["192.0.2.1", "::1"],
    )
    assert [type(each) for each in found] == [Shown, NotOffered]


async def test_localhost_is_no_question_for_dns() -> None:
    """RFC 6761 §6.3."""
    found = await look_by(lambda _ip, asked, _port: show_ec(asked), "localhost:25")
    assert [each.source for each in found] == ["localhost:25 [127.0.0.1]", "localhost:25 [::1]"]


@pytest.mark.parametrize("cause", [FailureCause.CLOSED, FailureCause.RESET])
async def test_who_hangs_up_on_a_key_type_is_asked_once_more(cause: FailureCause) -> None:
    """Some servers close the connection where others send an alert."""
    asked_for_rsa: list[AskedName] = []

    def answer(_ip: str, asked: AskedName, _port: int) -> bytes | Unseen:
        if asked.key_type is not KeyType.RSA:
            return EC.der
        asked_for_rsa.append(asked)
        return RSA.der if len(asked_for_rsa) == 2 else fail(cause)

    found = await look_by(answer, "mx.test:25", ["192.0.2.1"])
    assert show(*found) == {
        EC.der: ("SNI mx.test", "no SNI"),
        RSA.der: ("SNI mx.test, RSA only",),
    }
    assert len(asked_for_rsa) == 4


async def test_who_hangs_up_on_a_name_has_not_answered() -> None:
    found = await look_by(
        lambda _ip, asked, _port: fail(FailureCause.RESET) if asked.sni else show_ec(asked),
        "mx.test:25",
        ["192.0.2.1"],
    )
    assert show(*found) == {EC.der: ("no SNI",), "reset": ("SNI mx.test",)}


async def test_who_falls_silent_is_not_asked_further() -> None:
    count = 0

    def answer(_ip: str, asked: AskedName, _port: int) -> bytes | Unseen:
        nonlocal count
        count += 1
        return EC.der if asked.key_type is None else Unseen("no answer within 20 seconds")

    found = await look_by(answer, "mx.test:25", ["192.0.2.1"])
    assert show(*found) == {
        EC.der: ("SNI mx.test",),
        "no answer within 20 seconds": ("SNI mx.test, RSA only",),
    }
    assert count == 2


async def test_a_handshake_that_takes_too_long_is_silence_too() -> None:
    found = await look_by(lambda *_: fail(FailureCause.TIMED_OUT), "mx.test:25", ["192.0.2.1"])
    assert show(*found) == {"timed-out": ("SNI mx.test",)}


async def test_where_a_key_type_cannot_be_asked_for_nobody_knows() -> None:
    """As with a pyOpenSSL that cannot say which signatures we take."""

    def answer(_ip: str, asked: AskedName, _port: int) -> bytes | Unseen:
        is_refused = asked.key_type is not None and not asked.is_tls_1_3
        return fail(FailureCause.VERSION) if is_refused else EC.der

    found = await look_by(answer, "192.0.2.1:25")
    assert show(*found) == {
        EC.der: ("no SNI",),
        "it cannot be asked for RSA alone": ("no SNI, RSA only",),
    }


async def test_what_is_no_certificate_to_us_is_shown_all_the_same() -> None:
    (found,) = await look_by(lambda *_: b"\x30\x00", "192.0.2.1:25")
    assert found == Shown("192.0.2.1:25", b"\x30\x00", ("no SNI",))


async def test_places_are_asked_at_once_and_answers_keep_their_order() -> None:
    async def find(_host: Domain) -> list[IpAddress]:
        return [IPv4Address("192.0.2.9")]

    async def look(ip: str, port: int, _asked: AskedName, _speech: Speech) -> bytes | Unseen:
        del ip
        return Unseen(f"no answer from {port}")

    texts = [f"a{number}.test:{number}" for number in range(1, 40)]
    found = await HostLooker(find, look).look_at([parse_place(text) for text in texts])
    assert [each.source for each in found] == [f"{text} [192.0.2.9]" for text in texts]
