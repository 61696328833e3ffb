"""Is my host affected: asked by anybody, of no address or port that is none of his business."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.config.load import load_config
from letterlock.base.domains import Domain
from letterlock.network.challenge_look import Unseen
from letterlock.protocols.acme.server.rate_limits import Limit
from letterlock.protocols.incidents.places import Place
from letterlock.protocols.pki import throwaway_ca
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.changing import NewIncident, create, enable, withdraw
from letterlock.services.ca.incidents.choosing import choose_serials
from letterlock.services.incidents.findings import Finding, NotAsked, NotOffered, Shown
from letterlock.storage.ca.changes import ChangeCertificate
from letterlock.storage.ca.kept import Issued
from letterlock.web.ca.status.answers import Verdict
from letterlock.web.ca.status.checking import AT_ONCE, CheckLimits, HostChecker
from tests.authority_running import AuthorityFiles
from tests.fakes import FixtureResolver
from tests.misbehaving import Conduct, serving
from tests.services.ca.issuing.office import ALLOWS, CERTIFICATE_KEY, Office

ASKER = ip_address("192.0.2.7")
HOUR = timedelta(hours=1)


class FakeLook:
    """Gives what a test says that hosts show."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.asked: list[Place] = []
        self.gate: asyncio.Event | None = None
        self.all_asked = asyncio.Event()

    async def __call__(self, places: Sequence[Place]) -> list[Finding]:
        self.asked += places
        if len(self.asked) >= AT_ONCE:
            self.all_asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.findings


class Scene:
    def __init__(self, office: Office) -> None:
        self.office = office
        self.look = FakeLook()
        self.checker = HostChecker(office.kept, self.look, office.clock)

    async def issue(self, name: str) -> Issued:
        self.office.resolver.set(name, "CAA", ALLOWS)
        claimed = await self.office.add_order(name)
        await self.office.issuing().do(claimed)
        issued = await self.office.find_issued(claimed)
        assert issued is not None
        return issued

    async def begin_incident(self, issued: Issued) -> str:
        now, kept = self.office.clock.now(), self.office.kept
        new = NewIncident("why", "https://a.example/", now + HOUR, Reason.SUPERSEDED, "x", "me")
        pages = choose_serials(kept, [issued.certificate.name.serial], now)
        incident = await create(kept, new, pages, now, lambda _: None)
        return (await enable(kept, incident.id, "me", now)).id


@pytest.fixture
async def scene(office: Office) -> Scene:
    return Scene(office)


async def test_each_certificate_is_judged_by_the_store(scene: Scene) -> None:
    good, bad, gone = [await scene.issue(f"{name}.example") for name in ("good", "bad", "gone")]
    incident_id = await scene.begin_incident(bad)
    revoked = replace(gone.certificate, revoked=scene.office.clock.now())
    assert await scene.office.kept.commit([ChangeCertificate(gone.certificate, revoked)])
    foreign = scene.office.issuer.certificate.public_bytes(Encoding.DER)
    scene.look.findings = [
        Shown("a:443", good.der),
        Shown("a:25", bad.der),
        Shown("a:465", gone.der),
        Shown("a:587", foreign),
        Shown("a:587", b"nonsense"),
        NotAsked("a:993", "220 secret banner"),
        NotOffered("a:80", "Connection refused"),
    ]
    answer = await scene.checker.check("a.example", ASKER)
    assert answer.status == 200
    assert answer.summary == "It shows a certificate that has to be renewed."
    assert [each.verdict for each in answer.found] == [
        Verdict.NOT_AFFECTED,
        Verdict.AFFECTED,
        Verdict.REVOKED,
        Verdict.NOT_OURS,
        Verdict.NOT_OURS,
        Verdict.UNKNOWN,
    ]
    assert answer.found[1].reason == f"incident {incident_id}"
    assert all("banner" not in each.reason for each in answer.found)
    made = x509.load_der_x509_certificate(good.der)
    assert answer.found[0].serial == f"{made.serial_number:x}".zfill(len(answer.found[0].serial))


async def test_what_could_not_be_seen_is_not_called_good(scene: Scene) -> None:
    good = await scene.issue("good.example")
    scene.look.findings = [Shown("a:443", good.der)]
    answer = await scene.checker.check("a.example", ASKER)
    assert answer.summary == "None of the certificates that it shows is affected."
    scene.look.findings = [Shown("a:443", good.der), NotAsked("a:25", "it is silent")]
    assert "may be affected or not" in (await scene.checker.check("a.example", ASKER)).summary
    scene.look.findings = []
    assert "may be affected or not" in (await scene.checker.check("a.example", ASKER)).summary


async def test_an_incident_that_was_withdrawn_is_nobodys_business(scene: Scene) -> None:
    issued = await scene.issue("a.example")
    incident_id = await scene.begin_incident(issued)
    await withdraw(scene.office.kept, incident_id, "me", scene.office.clock.now())
    scene.look.findings = [Shown("a:443", issued.der)]
    (found,) = (await scene.checker.check("a.example", ASKER)).found
    assert found.verdict is Verdict.NOT_AFFECTED


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a.example:22",
        "a.example:8080",
        "[::1]:6379",
        "x" * 400,
        "a/../b",
        "-a.example\n",
    ],
)
async def test_what_is_no_host_or_another_port_is_not_asked(scene: Scene, host: str) -> None:
    answer = await scene.checker.check(host, ASKER)
    assert answer.status == 400
    assert scene.look.asked == []


async def test_an_address_asks_ten_times_an_hour(scene: Scene) -> None:
    for number in range(10):
        assert (await scene.checker.check(f"n{number}.example", ASKER)).status == 200
    refused = await scene.checker.check("more.example", ASKER)
    assert (refused.status, len(scene.look.asked)) == (429, 10)
    other = await scene.checker.check("more.example", ip_address("192.0.2.8"))
    assert other.status == 200
    scene.office.clock.move(HOUR)
    assert (await scene.checker.check("more.example", ASKER)).status == 200


async def test_a_whole_site_of_ipv6_is_one_asker(scene: Scene) -> None:
    for number in range(10):
        asker = ip_address(f"2001:db8:1:{number}::1")
        assert (await scene.checker.check(f"n{number}.example", asker)).status == 200
    refused = await scene.checker.check("a.example", ip_address("2001:db8:1:ffff::1"))
    assert refused.status == 429


async def test_a_host_is_asked_ten_times_an_hour_by_whomever(scene: Scene) -> None:
    for number in range(10):
        asker = ip_address(f"198.51.100.{number}")
        assert (await scene.checker.check("a.example:25", asker)).status == 200
    assert (await scene.checker.check("a.example:443", ASKER)).status == 429
    assert (await scene.checker.check("b.example", ASKER)).status == 200


async def test_all_together_have_a_limit_over_all_processes(scene: Scene) -> None:
    """RFC 8555 §10.3; rule 256"""
    few = CheckLimits(for_all=Limit("host checks", 2, 2, HOUR))
    kept, clock = scene.office.kept, scene.office.clock
    one, other = (HostChecker(kept, scene.look, clock, few) for _ in range(2))
    assert (await one.check("a.example", None)).status == 200
    assert (await other.check("b.example", ASKER)).status == 200
    assert (await one.check("c.example", None)).status == 429


async def test_few_are_done_at_a_time(scene: Scene) -> None:
    scene.look.gate = asyncio.Event()
    askers = [ip_address(f"198.51.100.{number}") for number in range(AT_ONCE)]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(scene.checker.check(f"n{number}.example", asker))
            for number, asker in enumerate(askers)
        ]
        await scene.look.all_asked.wait()
        assert (await scene.checker.check("more.example", ASKER)).status == 503
        scene.look.gate.set()
    assert [each.result().status for each in running] == [200] * AT_ONCE


async def test_who_is_silent_keeps_nobody_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("letterlock.web.ca.status.checking.SECONDS", 0.01)
    scene.look.gate = asyncio.Event()
    answer = await scene.checker.check("a.example", ASKER)
    assert "did not answer in time" in answer.summary


SPECIAL = (
    *("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "100.64.0.1"),
    *("[::1]", "[fe80::1]", "[fc00::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost"),
    "inside.example",
)


@pytest.mark.parametrize("host", SPECIAL)
async def test_no_special_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Whether it is given, or a name leads there: server-side request forgery. Rule 255"""
    from letterlock.node.ca import status_page  # noqa: PLC0415 - its names are changed here

    async def connect(*_: object) -> bytes | Unseen:
        pytest.fail("it was connected to")

    monkeypatch.setattr(status_page, "look_over_tls", connect)
    monkeypatch.setattr(status_page, "look_over_smtp", connect)
    files = AuthorityFiles(tmp_path)
    files.change("ca.validation", networks=[])
    resolver = FixtureResolver()
    resolver.set("inside.example", "A", ip_address("10.0.0.7"))
    resolver.set("inside.example", "AAAA", ip_address("fc00::7"))
    look = status_page.make_look(load_config(files.write()), resolver)
    place = Place(Domain(host), None)
    if host not in ("localhost", "inside.example"):
        place = Place(ip_address(host.strip("[]")), 443)
    findings = await look([place])
    assert findings
    assert all(isinstance(each, NotAsked) for each in findings)


async def test_networks_of_the_settings_may_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from letterlock.node.ca import status_page  # noqa: PLC0415 - its names are changed here

    seen: list[tuple[object, ...]] = []

    async def connect(*arguments: object) -> bytes | Unseen:
        seen.append(arguments[:2])
        return b"certificate"

    monkeypatch.setattr(status_page, "look_over_tls", connect)
    monkeypatch.setattr(status_page, "look_over_smtp", connect)
    resolver = FixtureResolver()
    resolver.set("in.example", "A", *(ip_address(f"127.0.0.{last}") for last in (1, 2, 3, 4)))
    resolver.set("in.example", "AAAA")
    look = status_page.make_look(load_config(AuthorityFiles(tmp_path).write()), resolver)
    findings = await look([Place(Domain("in.example"), None)])
    assert {ip for ip, _ in seen} == {"127.0.0.1", "127.0.0.2"}
    assert {port for _, port in seen} == {443, 25, 465, 587, 993}
    assert all(isinstance(each, Shown) for each in findings)
    (nothing,) = await look([Place(Domain("other.example"), None)])
    assert isinstance(nothing, NotAsked)


async def test_a_live_host_with_an_affected_certificate_is_told(
    scene: Scene, tmp_path: Path
) -> None:
    """By TLS at once and by STARTTLS, on a port that nobody knows: both are tried."""
    from letterlock.node.ca import status_page  # noqa: PLC0415 - as above

    bad = await scene.issue("bad.example")
    await scene.begin_incident(bad)
    leaf = x509.load_der_x509_certificate(bad.der)
    shown = throwaway_ca.Issued(leaf, CERTIFICATE_KEY, (leaf,))
    resolver = FixtureResolver()
    look = status_page.make_look(load_config(AuthorityFiles(tmp_path).write()), resolver)
    for is_implicit in (True, False):
        async with serving(Conduct(shown, is_implicit_tls=is_implicit)) as (server,):
            resolver.set("mx.example", "A", ip_address(server.ip))
            resolver.set("mx.example", "AAAA")
            kept, clock = scene.office.kept, scene.office.clock
            checker = HostChecker(kept, look, clock, ports=(server.port,))
            answer = await checker.check(f"mx.example:{server.port}", ASKER)
        assert answer.summary == "It shows a certificate that has to be renewed."
        assert {each.verdict for each in answer.found} == {Verdict.AFFECTED}
        assert server.seen.mails == []
