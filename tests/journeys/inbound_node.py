"""A node with an inbound test on loopback, and the zone that it wants published."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterlock.protocols.inbound.verdict import Verdict, judge
from letterlock.storage.inbound_tests import InboundTests
from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.network.certificates import authority, issue, write_pair

BASE = "senders.example"
IP = "127.0.0.1"
CERTIFIED = (f"mx.good.{BASE}", f"mx.bad-tlsa.{BASE}", f"mta-sts.sts.{BASE}", BASE)
CASES = ("good", "expired", "wrong-name", "no-starttls", "bad-tlsa", "sts")


@dataclass
class InboundNode:
    """It runs; `ports` are those of its places, by name."""

    node: RunningNode
    ports: dict[str, int]

    def port(self, case: str) -> int:
        """Give where the host of a case is."""
        return self.ports.get(case, self.ports["shared"])

    def domain(self, case: str) -> str:
        return f"{case}.{BASE}"

    def new(self, *options: str) -> dict[str, Any]:
        """Make a test; gives its document."""
        answer = self.node.files.command("inbound", "new", "--json", *options)
        assert answer.code == 0, answer.error
        return answer.document

    def show(self, token: str) -> dict[str, Any]:
        answer = self.node.files.command("inbound", "show", token, "--json")
        assert answer.code == 0, answer.error
        return answer.document

    def look(self, token: str) -> Verdict:
        """Judge what is kept of a test, as `show` does: without a process for each look."""
        test = InboundTests(self.node.files.data / "inbound").load(token)
        assert test is not None, f"{token} is gone"
        return judge(test)

    def outcomes(self, token: str) -> dict[str, str]:
        return {each.case.value: each.outcome.value for each in self.look(token).cases}

    def answers(self, token: str) -> dict[str, str]:
        return {each.question.value: each.answer.value for each in self.look(token).answers}

    def wait_outcomes(self, token: str, **expected: str) -> None:
        """Wait until hosts have had these outcomes; `_` stands for `-` in their names."""
        wanted = {case.replace("_", "-"): outcome for case, outcome in expected.items()}
        self.node.wait_for(
            lambda: wanted.items() <= self.outcomes(token).items(), f"{wanted} at {token}"
        )

    def zone(self) -> dict[str, str]:
        """Give the zone of `inbound records`, with the ports that hosts have here."""
        answer = self.node.files.command("inbound", "records", "--json")
        lines = [each["line"] for each in answer.document["records"]]
        text = "\n".join(line.replace(" 3600 ", " 60 ") for line in lines)
        return {BASE: text.replace("_25._tcp", f"_{self.port('bad-tlsa')}._tcp")}


@contextmanager
def inbound_node(folder: Path, **settings: object) -> Iterator[InboundNode]:
    """Run one; `settings` are of `[inbound]`."""
    files = NodeFiles(folder)
    files.change("dkim", algorithms=["ed25519"])  # an RSA key takes long to make
    certificate, key = write_pair(folder, issue(CERTIFIED), "inbound")
    place = f"{IP}:0"
    files.change(
        "inbound",
        domain=BASE,
        certificates=[{"certificate": str(certificate), "key": str(key)}],
        listen=[place],
        listen_expired=[place],
        listen_no_starttls=[place],
        listen_https=[place],
        **settings,
    )
    with running(files) as node:
        found = node.wait_log(r"inbound test on (.*)$")
        ports = {
            name.lower(): int(port) for port, name in re.findall(r":(\d+) \(([\w-]+)\)", found[1])
        }
        yield InboundNode(node, ports)


@contextmanager
def sending_node(folder: Path, inbound: InboundNode, host: str = IP) -> Iterator[RunningNode]:
    """Run a node that sends to it, by the zone that it wants, which is taken for a signed one.

    It answers a Postfix too. The zone is served at `host`, at port 53 unless that is ours.
    """
    port = 0 if host == IP else 53
    files = NodeFiles(folder, hostname="mx.sender.example", domains=("sender.example",))
    files.change("dkim", algorithms=["ed25519"])
    trusted = folder / "authority.pem"
    trusted.write_bytes(authority().pem)
    # `sts` and others of one place have the same port; each has a route of its own by domain.
    routes = {
        inbound.domain(case): f"{inbound.domain(case)}:{inbound.port(case)}" for case in CASES
    }
    with zones(inbound.zone(), host, port, authentic_data=True) as resolver:
        files.change("dns", resolver=resolver)
        files.change("deliver", routes=routes, families=["ipv4"], own_addresses=[])
        files.change("mta_sts", port=inbound.ports["https"], private_addresses=True)
        files.change("policy", trust_files=[str(trusted)])
        files.change("policy_service", enabled=True, listen=[f"{IP}:0"], postfix_version="3.7")
        with running(files) as node:
            yield node
