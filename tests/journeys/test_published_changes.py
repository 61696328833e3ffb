"""What is published changes, is gone, or cannot be read: nodes over restarts, and two of them.

RFC 8461 §3.3, §5.1; RFC 7672 §2.1.1. `changing.example` has one MX host: one that can prove itself,
or one without TLS.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.network.zone_server import ZoneServer
from tests.interop.background import in_background
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import issue
from tests.published_domains import format_policy, policies_of, sending_node
from tests.storage.postgres_server import PostgresServer

DOMAIN = "changing.example"
HOST = f"mx.{DOMAIN}"
RECORD = f"_mta-sts.{DOMAIN}"
ELSEWHERE = "mx.elsewhere.example"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "mta-sts.md"
UNREADABLE = "MTA-STS: the policies that are kept cannot be read: the store is not open"


@dataclass(slots=True)
class Publisher:
    """What `changing.example` publishes, and the one server that is its MX host."""

    loop: asyncio.AbstractEventLoop
    zones: ZoneServer
    resolver: str
    server: Server
    policy_port: int = 0
    policy: bytes | None = None
    """None: the policy host has none to give."""
    fetches: list[str] = field(default_factory=list)

    def publish(self, identifier: str | None, policy: bytes | None) -> None:
        """Publish a record with this id, and this policy; None: no such thing."""
        self.policy = policy
        texts = [f'"v=STSv1; id={identifier};"'] if identifier else []
        self._do(lambda: self.zones.set(RECORD, "TXT", *texts, ttl=0))
        self._do(lambda: self.zones.restore(RECORD))

    def vanish(self) -> None:
        """Let neither DNS nor the policy host answer for the policy any more."""
        self.policy = None
        self._do(lambda: self.zones.fail(RECORD))

    def find(self, domain: Domain) -> bytes | None:
        self.fetches.append(domain)
        return self.policy

    def make_node(self, folder: Path) -> NodeFiles:
        files = sending_node(folder, self.resolver, self.server.port, self.policy_port)
        files.change("deliver", idle_connection="0s")
        return files

    def _do(self, change: Callable[[], None]) -> None:
        """Do it where the name server runs."""

        async def run() -> None:
            change()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)


@contextmanager
def publishing(
    folder: Path, conduct: Conduct, *, is_vouched_for: bool = True
) -> Iterator[Publisher]:
    with in_background(_publish(folder, conduct, is_vouched_for)) as publisher:
        yield publisher


@asynccontextmanager
async def _publish(
    folder: Path, conduct: Conduct, is_vouched_for: bool
) -> AsyncIterator[Publisher]:
    async with serving(conduct) as (server,):
        records = f"@ MX 10 mx\nmx A {server.ip}\nmta-sts A 127.0.0.1\n_mta-sts A 127.0.0.1\n"
        records += f"_{server.port}._tcp.other TLSA 3 1 1 {'00' * 32}\nother A {server.ip}\n"
        records += "tlsa MX 10 other\n"
        zones = ZoneServer({DOMAIN: records}, authentic_data=is_vouched_for)
        host, port = await zones.start()
        loop = asyncio.get_running_loop()
        publisher = Publisher(loop, zones, f"{host}:{port}", server)
        try:
            async with policies_of(folder, publisher.find, (f"mta-sts.{DOMAIN}",)) as policy_port:
                publisher.policy_port = policy_port
                yield publisher
        finally:
            await zones.close()


def good() -> Conduct:
    return Conduct(issue((HOST,)))


def plain() -> Conduct:
    return Conduct(has_starttls=False)


def enforce(*mx: str, max_age: int = 604800) -> bytes:
    return format_policy("enforce", *(mx or (HOST,)), max_age=max_age)


def send(node: RunningNode, domain: str = DOMAIN) -> tuple[str, str, str]:
    """Send; gives queue id, status and reason of the first attempt."""
    queue_id = node.send(to=f"alice@{domain}")
    found = node.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)")
    node.wait_settled(queue_id)
    return queue_id, found[1], found[2]


def retry(node: RunningNode, queue_id: str) -> tuple[str, str]:
    """Let a message be tried now; gives status and reason."""
    since = len(node.lines)
    assert node.files.command("queue", "retry", queue_id).code == 0
    found = node.wait_log(rf"{queue_id}: to=<.*status=(\w+) \((.*)\)", since=since)
    node.wait_settled(queue_id)
    return found[1], found[2]


def test_a_policy_outlives_the_node_and_its_policy_host(tmp_path: Path) -> None:
    """RFC 8461 §3.3, §5.1, §10.2; rules 63, 73: who blocks DNS and HTTPS gains nothing."""
    with publishing(tmp_path, plain()) as publisher:
        publisher.publish("1", enforce())
        files = publisher.make_node(tmp_path / "node")
        with running(files) as node:
            first, status, text = send(node)
            assert status == "deferred", text
            node.wait_log(rf"{DOMAIN}: MTA-STS policy fetched: mode enforce, id 1")
        publisher.vanish()
        with running(files) as node:
            assert retry(node, first)[0] == "deferred"
            _, status, text = send(node)
            assert (status, "TLS is required" in text) == ("deferred", True), text
        assert publisher.server.seen.connections >= 3
        assert publisher.server.seen.mails == []
        assert len(publisher.fetches) == 1


def test_a_policy_that_changed_lets_waiting_mail_go_at_the_next_try(tmp_path: Path) -> None:
    """RFC 8461 §5.1, §8.3; rules 80, 143, 144: within that try, and without a restart."""
    with publishing(tmp_path, good()) as publisher:
        publisher.publish("1", enforce(ELSEWHERE))
        with running(publisher.make_node(tmp_path / "node")) as node:
            queue_id, status, text = send(node)
            assert status == "deferred"
            assert f"the policy of {DOMAIN} (enforce) does not list {HOST}" in text
            assert publisher.server.seen.connections == 0
            publisher.publish("2", enforce())
            assert retry(node, queue_id)[0] == "sent"
            node.wait_log(rf"{DOMAIN}: MTA-STS policy fetched: mode enforce, id 2")
            node.wait_log(rf"Verified TLS connection established to {HOST}\[")
            shown = node.files.command("queue", "show", queue_id, "--json").document
        # The first try, what the second found under the old policy, and under the new one.
        assert len(shown["attempts"]) == 3
        assert len(publisher.fetches) == 2


def test_the_log_says_what_the_guide_says(tmp_path: Path) -> None:
    """RFC 8461 §3.3, §8.3; rules 74 and 143; docs/guide/mta-sts.md, line by line."""
    with publishing(tmp_path, plain()) as publisher:
        files, log = publisher.make_node(tmp_path / "node"), ""
        # A message that cannot meet the policy finds the next one; a new process remembers none.
        for changes in (
            [("20260301T000000", enforce(ELSEWHERE)), ("2", format_policy("none"))],
            [(None, None)],
            [("3", enforce()), ("4", None)],
        ):
            with running(files) as node:
                for identifier, policy in changes:
                    publisher.publish(identifier, policy)
                    send(node)
            log += node.log
        (fetched, failed, gone), reasons, (unreadable,) = _blocks_of(GUIDE.read_text("utf-8"))
        for line in (fetched, failed, gone, *reasons):
            assert re.search(_as_pattern(line), log), f"{line}\n{log}"
        assert UNREADABLE in unreadable


def _blocks_of(page: str) -> list[list[str]]:
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in blocks]


def _as_pattern(line: str) -> str:
    """Turn a line of the guide into what it stands for: another domain, address, process, time."""
    pattern = re.escape(line.replace("example.org", DOMAIN))
    pattern = pattern.replace(re.escape("[77]"), r"\[\d+\]")
    pattern = pattern.replace(re.escape("[192.0.2.1]:25"), r"\[\S+\]:\d+")
    moment = r"\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ"
    return re.sub(re.escape("2026\\-03\\-0") + r"\d" + re.escape("T12:00:00Z"), moment, pattern)


def test_while_the_nodes_database_cannot_be_read_mail_waits(tmp_path: Path) -> None:
    """RFC 8461 §3.3; rule 73: it may hold a policy, so that nothing goes as though it did not."""
    with publishing(tmp_path, good()) as publisher:
        publisher.publish("1", enforce())
        files = publisher.make_node(tmp_path / "node")
        in_its_place = files.data / "node.sqlite"
        in_its_place.mkdir(parents=True)
        with running(files) as node:
            node.wait_log("warning: MTA-STS policies cannot be read: ")
            queue_id, status, text = send(node)
            assert status == "deferred"
            assert UNREADABLE in text
            assert publisher.server.seen.connections == 0
            in_its_place.rmdir()
            node.wait_for(lambda: retry(node, queue_id)[0] == "sent", "the database")
            node.wait_log(rf"Verified TLS connection established to {HOST}\[")


@pytest.mark.parametrize("is_vouched_for", [True, False])
def test_without_a_resolver_that_validates_there_is_no_dane_and_it_is_said(
    is_vouched_for: bool, tmp_path: Path
) -> None:
    """RFC 7672 §2.1.1; rule 26: what nobody vouches for binds nobody, and opens nothing either."""
    with publishing(tmp_path, good(), is_vouched_for=is_vouched_for) as publisher:
        files = publisher.make_node(tmp_path / "node")
        files.change("dns", signed_name=DOMAIN, bogus_name="bogus.example")
        with running(files) as node:
            _, status, text = send(node, f"tlsa.{DOMAIN}")
            assert status == ("deferred" if is_vouched_for else "sent"), text
            if not is_vouched_for:
                node.wait_log(
                    f"warning: .*DANE cannot work: the resolver does not vouch for {DOMAIN}"
                )
        assert len(publisher.server.seen.mails) == (0 if is_vouched_for else 1)


@pytest.mark.proof
@pytest.mark.peer("postgresql")
def test_nodes_that_share_a_database_share_policies(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    """RFC 8461 §3.3, §5.1; rules 73, 80, 144: what one has fetched holds for all."""
    url = postgres.create_schema()
    with publishing(tmp_path, plain()) as publisher:
        publisher.publish("1", enforce())
        files = [publisher.make_node(tmp_path / name) for name in ("first", "second")]
        for number, each in enumerate(files, start=1):
            each.hostname = f"relay{number}.example.net"
            each.change("queue", engine="postgres", url=url)
        with running(files[0]) as first:
            assert send(first)[1] == "deferred"
        publisher.publish("1", None)
        with running(files[1]) as second:
            _, status, text = send(second)
            assert (status, "TLS is required" in text) == ("deferred", True), text
            with running(files[0]) as first:
                # Either of the two may claim what the other has received.
                queue_ids = [node.send(to=f"alice@{DOMAIN}") for node in (first, second)]
                first.wait_for(lambda: all(_has(first, second, i) for i in queue_ids), "attempts")
                assert (publisher.server.seen.mails, len(publisher.fetches)) == ([], 1)
                publisher.publish("2", format_policy("none"))
                queue_ids = [node.send(to=f"alice@{DOMAIN}") for node in (first, second)]
                first.wait_for(lambda: all(_has(first, second, i) for i in queue_ids), "attempts")
                assert (first.log + second.log).count("status=sent") == len(queue_ids)
    assert len(publisher.fetches) == 2


def _has(first: RunningNode, second: RunningNode, queue_id: str) -> bool:
    return f"{queue_id}: to=<" in first.log + second.log
