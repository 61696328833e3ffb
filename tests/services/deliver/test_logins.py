"""Logging in at relay hosts: whose account is used where, and what must hold before it is said."""

import base64
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.smtp_login import LoginTerms
from letterlock.protocols.dns.answers import MxRecord, Security
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.scram import MIN_ITERATIONS, ScramExchange, ScramVerifier
from letterlock.protocols.sasl.scram import make_verifier as make
from letterlock.protocols.sasl.steps import Challenge, Failed, Proved, VerifierNeeded
from letterlock.services.deliver.logins import LoginFile, RelayLogins
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.outcomes import Delivery, Result
from tests.misbehaving import GOOD_EXTENSIONS, Act, Answer, Conduct, Responder, Server, serving
from tests.services.deliver.outbound import HOST, Outbound, leaf, only, sending, stories
from tests.services.receive.submitting import submitting

PASSWORD = "correct horse"
PLAIN = base64.b64encode(b"\0me\0" + PASSWORD.encode()).decode()
SECRETS = (PASSWORD, PLAIN, base64.b64encode(PASSWORD.encode()).decode())


def offering(*mechanisms: str) -> tuple[str, ...]:
    return (*GOOD_EXTENSIONS, f"AUTH {' '.join(mechanisms)}") if mechanisms else GOOD_EXTENSIONS


def saying(*replies: str) -> Callable[[], Responder]:
    """Answer with these in turn, whatever comes; with the last of them from then on."""

    def begin() -> Responder:
        left = list(replies)
        return lambda _: left.pop(0) if len(left) > 1 else left[0]

    return begin


def scram(verifier: ScramVerifier) -> Callable[[], Responder]:
    """Answer as a server that has this verifier."""

    def begin() -> Responder:
        exchange = ScramExchange("server")

        def respond(line: str) -> str:
            step = exchange.receive(base64.b64decode(line.rpartition(" ")[2]))
            if isinstance(step, VerifierNeeded):
                step = exchange.found(verifier)
            match step:
                case Challenge(octets):
                    return f"334 {base64.b64encode(octets).decode()}"
                case Proved():
                    return "235 2.7.0 Welcome"
                case Failed(reason=reason):
                    return f"535 5.7.8 {reason}"
                case _:
                    raise AssertionError(step)

        return respond

    return begin


KNOWN = make(PASSWORD, b"salt", MIN_ITERATIONS)


@dataclass
class Relay:
    """A node that sends all mail through one relay host."""

    node: Outbound
    server: Server
    file: Path
    is_implicit: bool = False
    text: str = field(default="")

    def write(self, text: str) -> None:
        """Change the file, long enough ago for it to count."""
        self.file.write_text(text)
        self.file.chmod(0o600)

    async def send(self, sender: str = "alice@example.org", text: str | None = None) -> Delivery:
        await self.node.save(sender=sender)
        hop = text or f"{'smtps:' if self.is_implicit else ''}[{HOST}]:{self.server.port}"
        claim = await self.node.claim()
        next_hop = parse_next_hop(hop)
        return await self.node.remote.deliver(claim, next_hop, self.node.store, is_relay=True)

    @property
    def auths(self) -> list[str]:
        return self.server.seen.lines("AUTH")


@contextmanager
def no_secrets(relay: "Relay") -> Iterator[list[Delivery]]:
    """See that nothing that is told has a password in it."""
    deliveries: list[Delivery] = []
    yield deliveries
    told = [repr(deliveries), *relay.node.log.texts, repr(relay.node.remote)]
    for secret in SECRETS:
        assert not any(secret in text for text in told), secret


class Relaying(AbstractAsyncContextManager["Relay"]):
    """Runs both ends; `line` is the file's only one, with the port for {port}."""

    def __init__(self, folder: Path, conduct: Conduct, line: str | None = None) -> None:
        self._folder, self._conduct = folder, conduct
        self._line = line or f"[{HOST}]:{{port}} me:{PASSWORD}\n"

    async def __aenter__(self) -> Relay:
        self._serving = serving(self._conduct)
        (server,) = await self._serving.__aenter__()
        self._sending = sending(self._folder, [server])
        node = await self._sending.__aenter__()
        relay = Relay(node, server, self._folder / "passwords", self._conduct.is_implicit_tls)
        relay.write(self._line.format(port=server.port))
        file = LoginFile(relay.file, node.clock, 25, tell=node.log.texts.append)
        node.logins = RelayLogins(file, node.clock)
        return relay

    async def __aexit__(self, *error: object) -> None:
        await self._sending.__aexit__(None, None, None)
        await self._serving.__aexit__(None, None, None)


def good(*mechanisms: str, login: Callable[[], Responder] | None = None, **more: object) -> Conduct:
    login = login or saying("235 2.7.0 Welcome")
    return Conduct(leaf(), extensions=offering(*mechanisms), login=login, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("is_implicit", [False, True], ids=["587", "465"])
async def test_a_password_goes_to_a_host_that_proves_itself(
    tmp_path: Path, is_implicit: bool
) -> None:
    """RFC 4954 §14: whatever the level is else. Rule 114. RFC 8314 §3.3: implicit TLS."""
    conduct = good("PLAIN", "LOGIN", is_implicit_tls=is_implicit, has_starttls=not is_implicit)
    async with Relaying(tmp_path, conduct) as relay:
        with no_secrets(relay) as deliveries:
            deliveries.append(delivery := await relay.send())
        assert only(delivery).result is Result.DELIVERED
        assert relay.auths == [f"AUTH PLAIN {PLAIN}"]
        assert all(is_tls for line, is_tls in relay.server.seen.commands if "AUTH" in line)
        requirement = stories(delivery)[0]["requirement"]
        assert (requirement["level"], requirement["source"]) == ("secure", "password")
        assert requirement["names"] == [HOST]
        dialogue = stories(delivery)[0]["dialogue"]
        assert "> AUTH PLAIN ..." in dialogue
        assert "! logged in as me by PLAIN" in dialogue


@pytest.mark.parametrize("level", [Level.NONE, Level.MAY, Level.ENCRYPT], ids=str)
@pytest.mark.parametrize("is_in_table", [True, False], ids=["entry", "default"])
async def test_no_password_goes_to_a_host_that_is_not_proved(
    tmp_path: Path, level: Level, is_in_table: bool
) -> None:
    """RFC 4954 §14. Rule 114."""
    conduct = Conduct(leaf(("other.example",)), extensions=offering("PLAIN"), login=saying("235 x"))
    async with Relaying(tmp_path, conduct) as relay:
        relay.node.level = level
        if is_in_table:
            key = f"[{HOST}]:{relay.server.port}"
            relay.node.entries[key] = TableEntry(key, level, "tls_policy:1")
        outcome = only(await relay.send())
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.5")
        assert (relay.auths, relay.server.seen.mails) == ([], [])


async def test_no_password_goes_in_clear(tmp_path: Path) -> None:
    """RFC 4954 §14: whatever is offered, and whoever took STARTTLS out. Rule 114."""
    conduct = good("PLAIN", has_starttls=False)
    async with Relaying(tmp_path, conduct) as relay:
        outcome = only(await relay.send())
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.4")
        relay.node.login_terms = LoginTerms(may_be_unproved=True)
        assert relay.node.logins is not None
        relay.node.logins.may_be_unproved = True
        assert only(await relay.send()).result is Result.DEFERRED
        assert (relay.auths, relay.server.seen.mails) == ([], [])


@pytest.mark.parametrize(
    ("name", "security", "result"),
    [
        ("mx1.host.example", Security.INSECURE, Result.DEFERRED),
        ("mx1.host.example", Security.SECURE, Result.DELIVERED),
        ("example.com", Security.INSECURE, Result.DELIVERED),
        ("mx1.example.com", Security.INSECURE, Result.DELIVERED),
    ],
)
@pytest.mark.parametrize("level", [Level.MAY, Level.VERIFY], ids=str)
async def test_a_name_that_insecure_dns_gave_proves_nothing(
    tmp_path: Path, name: str, security: Security, result: Result, level: Level
) -> None:
    """RFC 4954 §14: by MX the next hop's name counts, or one below it. Rule 114."""
    conduct = Conduct(leaf((name,)), extensions=offering("PLAIN"), login=saying("235 Welcome"))
    async with Relaying(tmp_path, conduct, f"example.com me:{PASSWORD}\n") as relay:
        relay.node.level = level
        host = Domain("mx1.host.example")
        relay.node.resolver.set(host, "A", ip_address(relay.server.ip))
        relay.node.resolver.set("example.com", "MX", MxRecord(10, host), security=security)
        outcome = only(await relay.send(text=f"example.com:{relay.server.port}"))
        assert outcome.result is result, outcome.reply
        assert len(relay.auths) == (result is Result.DELIVERED)
        assert outcome.status == ("2.0.0" if relay.auths else "4.7.5")


async def test_the_operator_may_say_a_password_to_anyone_under_tls(tmp_path: Path) -> None:
    conduct = Conduct(leaf(("other.example",)), extensions=offering("PLAIN"), login=saying("235 x"))
    async with Relaying(tmp_path, conduct) as relay:
        assert relay.node.logins is not None
        relay.node.logins.may_be_unproved = True
        relay.node.login_terms = LoginTerms(may_be_unproved=True)
        delivery = await relay.send()
        assert only(delivery).result is Result.DELIVERED
        assert stories(delivery)[0]["requirement"]["level"] == "encrypt"
        assert len(relay.auths) == 1


async def test_scram_is_taken_before_plain_and_the_server_proves_itself(tmp_path: Path) -> None:
    """RFC 5802 §5."""
    conduct = good("PLAIN", "SCRAM-SHA-256", login=scram(KNOWN))
    async with Relaying(tmp_path, conduct) as relay:
        with no_secrets(relay) as deliveries:
            deliveries.append(delivery := await relay.send())
        assert only(delivery).result is Result.DELIVERED
        assert relay.auths[0].startswith("AUTH SCRAM-SHA-256 ")
        dialogue = "\n".join(stories(delivery)[0]["dialogue"])
        assert "r=" not in dialogue
        assert dialogue.count("< 334 ...") == 2


_WRONG = ScramVerifier(KNOWN.salt, KNOWN.iterations, KNOWN.stored_key, b"x" * 32)
FAULTS = {
    "wrong password": (saying(f"535 5.7.8 not {PASSWORD} {PLAIN}"), "PLAIN", "535 5.7.8 not"),
    "later": (saying("454 4.7.0 later"), "PLAIN", "454 4.7.0 later"),
    "wrong signature": (scram(_WRONG), "SCRAM-SHA-256", "its signature is wrong"),
    "no signature": (saying("235 2.7.0 sure"), "SCRAM-SHA-256", "did not prove that it knows"),
    "bad base64": (saying("334 ???"), "SCRAM-SHA-256", "its challenge is not base64"),
    "endless": (saying("334 QQ=="), "LOGIN", "it asks for more than LOGIN has"),
    "no code of AUTH": (saying("250 ok"), "PLAIN", "unexpected reply: 250 ok"),
    "no SMTP": (saying("hello?"), "PLAIN", "not SMTP"),
    "no AUTH": (None, "", "it does not offer AUTH"),
    "another mechanism": (None, "XOAUTH2 CRAM-MD5", "offers AUTH CRAM-MD5 XOAUTH2, of which we"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_login_that_fails_has_mail_wait_and_names_the_line(
    tmp_path: Path, fault: str
) -> None:
    """RFC 4954 §6: what is wrong with an account is put right, and mail is not returned for it."""
    login, mechanisms, reason = FAULTS[fault]
    conduct = good(*mechanisms.split(), login=login)
    async with Relaying(tmp_path, conduct) as relay:
        with no_secrets(relay) as deliveries:
            deliveries.append(delivery := await relay.send())
        outcome = only(delivery)
        assert outcome.result is Result.DEFERRED
        assert outcome.status.startswith("4.")
        assert reason in outcome.reply
        assert HOST in outcome.reply
        if fault != "no SMTP":
            assert f"{relay.file}:1" in outcome.reply
        assert relay.server.seen.mails == []
        assert stories(delivery)[0]["handshake"] is not None or fault == "no SMTP"


@pytest.mark.parametrize("act", [Act.CLOSE, Act.RESET])
async def test_a_connection_lost_in_a_login_has_mail_wait(tmp_path: Path, act: Act) -> None:
    answers: dict[str, Answer] = {"AUTH": act}
    async with Relaying(tmp_path, good("PLAIN", under_tls=answers)) as relay:
        outcome = only(await relay.send())
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.4.2")
        assert relay.server.seen.mails == []


async def test_a_refused_account_is_left_alone_for_a_while_or_until_it_is_changed(
    tmp_path: Path,
) -> None:
    """Many servers lock an account after a few wrong passwords."""
    replies = iter(["535 5.7.8 no", "535 5.7.8 no", "235 yes"])
    conduct = good("PLAIN", login=lambda: lambda _: next(replies))
    async with Relaying(tmp_path, conduct) as relay:
        await relay.send()
        outcome = only(await relay.send())
        assert "not tried, refused some minutes ago" in outcome.reply
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.8")
        assert len(relay.auths) == 1
        relay.node.clock.move(timedelta(minutes=6))
        await relay.send()
        assert len(relay.auths) == 2
        relay.write(f"[{HOST}]:{relay.server.port} me:another\n")
        relay.node.clock.move(timedelta(seconds=2))
        assert only(await relay.send()).result is Result.DELIVERED


async def test_a_connection_of_one_account_is_not_used_for_anothers_mail(tmp_path: Path) -> None:
    line = "alice@example.org alice:secret\n[mx1.example.com]:{port} me:{0}\n".replace(
        "{0}", PASSWORD
    )
    async with Relaying(tmp_path, good("PLAIN"), line) as relay:
        for sender in ("alice@example.org", "bob@example.org", "alice+x@example.org", ""):
            assert only(await relay.send(sender)).result is Result.DELIVERED
        users = [base64.b64decode(line.rpartition(" ")[2]).split(b"\0")[1] for line in relay.auths]
        assert users == [b"alice", b"me"]
        assert relay.server.seen.connections == 2
        senders = [each.sender for each in relay.server.seen.taken]
        assert senders == ["alice@example.org", "bob@example.org", "alice+x@example.org", ""]


async def test_a_senders_password_goes_to_relay_hosts_only(tmp_path: Path) -> None:
    """Whoever mail is for chooses its MX: its password is not for them."""
    async with Relaying(tmp_path, good("PLAIN"), f"alice@example.org me:{PASSWORD}\n") as relay:
        assert only(await relay.node.send()).result is Result.DELIVERED
        assert relay.auths == []
        assert only(await relay.send()).result is Result.DELIVERED
        assert len(relay.auths) == 1


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.chmod(0o644), "everybody may read its passwords: `chmod 0600` first"),
        (lambda file: file.write_text(f"[{HOST}]:{{port}} {PASSWORD}\n"), ":1: a line is "),
    ],
    ids=["missing", "readable", "wrong"],
)
async def test_where_the_account_cannot_be_known_mail_waits(
    tmp_path: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    """Without a login a relay host would return it for good."""
    async with Relaying(tmp_path, good("PLAIN")) as relay:
        prepare(relay.file)
        if "{port}" in (text := relay.file.read_text() if relay.file.exists() else ""):
            relay.write(text.format(port=relay.server.port))
        with no_secrets(relay) as deliveries:
            deliveries.append(delivery := await relay.send())
        outcome = only(delivery)
        assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.0")
        assert reason in outcome.reply
        assert relay.server.seen.connections == 0


async def test_only_mechanisms_that_are_allowed_are_used(tmp_path: Path) -> None:
    async with Relaying(tmp_path, good("PLAIN", "SCRAM-SHA-256")) as relay:
        relay.node.login_terms = LoginTerms((Mechanism.LOGIN,))
        outcome = only(await relay.send())
        assert "it offers AUTH PLAIN SCRAM-SHA-256, of which we have none (LOGIN)" in outcome.reply
        assert relay.auths == []


@pytest.mark.parametrize("is_implicit", [True, False], ids=["465", "587"])
async def test_our_own_server_gets_a_login_bound_to_its_connection(
    tmp_path: Path, is_implicit: bool
) -> None:
    """RFC 5802 §6, RFC 9266 §4: both our halves know the same of the connection."""
    (tmp_path / "server").mkdir()
    file = tmp_path / "passwords"
    file.write_text(f"mx.example.org alice:{PASSWORD}\n")
    file.chmod(0o600)
    async with submitting(tmp_path / "server") as desk, sending(tmp_path) as node:
        node.resolver.set("mx.example.org", "A", ip_address("127.0.0.1"))
        node.logins = RelayLogins(LoginFile(file, node.clock, 25), node.clock)
        await node.save(content=b"From: alice@example.org\r\n\r\nhello\r\n")
        port = desk.implicit_port if is_implicit else desk.starttls_port
        text = f"{'smtps:' if is_implicit else ''}[mx.example.org]:{port}"
        claim = await node.claim()
        delivery = await node.remote.deliver(claim, parse_next_hop(text), node.store)
        assert only(delivery).result is Result.DELIVERED, stories(delivery)
        assert "! logged in as alice by SCRAM-SHA-256-PLUS" in stories(delivery)[0]["dialogue"]
        assert any("sasl_method=SCRAM-SHA-256-PLUS" in text for text in desk.log.texts)
