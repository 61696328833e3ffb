"""We log in at a Postfix whose accounts are a Dovecot's, and hand it mail."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.protocols.policy.requirement import Level
from letterlock.services.deliver.logins import LoginFile, RelayLogins
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.services.queue.outcomes import Outcome, Result
from tests.free_ports import free_port
from tests.interop.postfix_instance import (
    PostfixInstance,
    postfix_files,
    require_root,
    running_postfix,
)
from tests.interop.test_dovecot_auth import SETTINGS, running_dovecot
from tests.network.certificates import issue
from tests.services.deliver.outbound import only, sending, stories

pytestmark = [pytest.mark.peer("postfix"), pytest.mark.peer("dovecot")]

HOST = "smtp.isp.example"
USER, PASSWORD = "alice@example.org", "correct horse"
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256")


@dataclass
class Relayhost:
    """A port for each mechanism with STARTTLS, and one with TLS first for all of them."""

    postfix: PostfixInstance
    ports: dict[str, int]


@pytest.fixture(scope="module")
def relayhost() -> Iterator[Relayhost]:
    require_root()
    settings = SETTINGS.replace("plain login", "plain login scram-sha-256")
    settings = settings.replace("mode = 0600", "mode = 0666") + "auth_failure_delay = 0 secs\n"
    with running_dovecot(settings) as socket, postfix_files() as files:
        files.settings |= {
            **files.add_certificate(issue((HOST,)), "mx"),
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": str(socket),
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_tls_auth_only": "yes",
            "smtpd_tls_security_level": "may",
            "mynetworks": "192.0.2.1/32",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        }
        ports = {name: free_port("127.0.0.1") for name in (*MECHANISMS, "465", "none")}
        for name in MECHANISMS:
            allowed = f"{name}, !static:rest"
            files.add_server("127.0.0.1", ports[name], smtpd_sasl_mechanism_filter=allowed)
        files.add_server("127.0.0.1", ports["465"], smtpd_tls_wrappermode="yes")
        files.add_server("127.0.0.1", ports["none"], smtpd_sasl_auth_enable="no")
        with running_postfix(files) as postfix:
            yield Relayhost(postfix, ports)


async def hand_over(
    relayhost: Relayhost, folder: Path, name: str, password: str = PASSWORD
) -> tuple[Outcome, list[str]]:
    """Send a message over one of the ports; gives what came of it, and the dialogue."""
    file = folder / "passwords"
    file.write_text(f"{HOST} {USER}:{password}\n")
    file.chmod(0o600)
    async with sending(folder) as node:
        node.level = Level.MAY
        node.resolver.set(HOST, "A", ip_address("127.0.0.1"))
        node.logins = RelayLogins(LoginFile(file, node.clock, 25), node.clock)
        await node.save()
        scheme = "smtps:" if name == "465" else ""
        next_hop = parse_next_hop(f"{scheme}[{HOST}]:{relayhost.ports[name]}")
        delivery = await node.remote.deliver(await node.claim(), next_hop, node.store)
        return only(delivery), stories(delivery)[-1]["dialogue"]


@pytest.mark.parametrize("name", [*MECHANISMS, "465"])
async def test_mail_goes_with_a_login_by_each_mechanism(
    relayhost: Relayhost, tmp_path: Path, name: str
) -> None:
    """RFC 4954, RFC 4616, RFC 7677; RFC 8314 §3.3: TLS before the greeting."""
    outcome, dialogue = await hand_over(relayhost, tmp_path, name)
    assert outcome.result is Result.DELIVERED, (outcome, dialogue)
    method = name if name in MECHANISMS else "SCRAM-SHA-256"
    assert f"! logged in as {USER} by {method}" in dialogue
    queue_id = outcome.reply.rpartition(" ")[2]
    line = rf"{queue_id}: client=.*, sasl_method={method}, sasl_username={USER}"
    relayhost.postfix.wait_log(line)


@pytest.mark.parametrize("name", ["PLAIN", "465"])
async def test_a_wrong_password_has_mail_wait(
    relayhost: Relayhost, tmp_path: Path, name: str
) -> None:
    outcome, dialogue = await hand_over(relayhost, tmp_path, name, "mistaken")
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.8")
    assert f"cannot log in with the password of {tmp_path}/passwords:1: it said: 535 5.7.8" in (
        outcome.reply
    )
    told = f"{outcome}{dialogue}"
    for secret in ("mistaken", base64.b64encode(b"mistaken").decode()):
        assert secret not in told
    assert not any(line.startswith("> MAIL") for line in dialogue)


async def test_where_nobody_can_log_in_mail_waits(relayhost: Relayhost, tmp_path: Path) -> None:
    outcome, _ = await hand_over(relayhost, tmp_path, "none")
    assert (outcome.result, outcome.status) == (Result.DEFERRED, "4.7.0")
    assert "it does not offer AUTH" in outcome.reply
