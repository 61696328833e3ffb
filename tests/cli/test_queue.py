"""`letterlock queue` and `letterlock status`: beside a running node, and without one."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from letterlock.base.config.load import find_config
from letterlock.cli.queue_actions import Action, Change, change_queue
from letterlock.cli.root import main
from letterlock.cli.status import format_status, merge_answers
from letterlock.network.control import ControlServer
from letterlock.network.control_client import Answers
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.receive.session import COUNTERS
from letterlock.storage.queue import (
    AttemptRecord,
    QueueId,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import START, FakeClock
from tests.storage.messages import Mail

STORY = {
    "requirement": {
        "level": "verify",
        "source": "table",
        "reason": "letterlock.toml:40",
        "sni": "mx.example.com",
        "names": ["mx.example.com"],
    },
    "handshake": {
        "version": "TLSv1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "group": "X25519MLKEM768",
        "sni": "mx.example.com",
        "chain": [
            {
                "subject": "CN=other.example",
                "issuer": "CN=Authority",
                "names": ["other.example"],
                "serial": "1",
                "not_before": "2026-01-01T00:00:00Z",
                "not_after": "2026-12-31T00:00:00Z",
                "key": "EC 256",
                "pem": "",
            }
        ],
        "errors": [{"code": "name-mismatch", "depth": 0, "text": "not for mx.example.com"}],
        "alert": None,
    },
    "verdict": {
        "outcome": "defer",
        "result_type": "certificate-host-mismatch",
        "reason_code": "name-mismatch",
        "reason": "the certificate is for other.example",
    },
    "dialogue": [
        "S: 220 mx.example.com ESMTP",
        "C: EHLO mx1.example.org",
        "S: 250 \x1b[31mSTARTTLS",
    ],
    "outcome": "deferred: the peer did not prove its name",
}


@dataclass
class Node:
    """A configuration, and the shards it stands for."""

    file: Path
    data: Path

    def run(self, *arguments: str) -> int:
        return main([*arguments, "--config", str(self.file)])

    @asynccontextmanager
    async def shard(self, number: int = 0) -> AsyncIterator[Mail]:
        clock = FakeClock(START + timedelta(seconds=number))
        store = SqliteQueue(self.data / "queue" / f"shard-{number:03d}.db", clock)
        (self.data / "queue").mkdir(parents=True, exist_ok=True)
        await store.open()
        try:
            yield Mail(store, clock)
        finally:
            await store.close()

    async def fill(self, number: int = 0) -> QueueId:
        """Save one message in a shard that is then left alone."""
        async with self.shard(number) as mail:
            return await mail.save("example.com")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    data = tmp_path / "data"
    file = tmp_path / "letterlock.toml"
    file.write_text(
        'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{data}"\n'
    )
    return Node(file, data)


async def _refuse(mail: Mail) -> None:
    """Try the only message once; the other side doesn't prove its name."""
    claim = await mail.claim_one()
    attempt = AttemptRecord(
        mail.now, timedelta(seconds=1.5), "mx.example.com[192.0.2.1]:25", "refused", STORY, (0,)
    )
    result = RecipientResult(
        0,
        RecipientState.QUEUED,
        "4.7.5",
        "the peer did not prove its name",
        mail.now + timedelta(days=36500),
    )
    await mail.store.settle(Settlement(claim, (result,), (attempt,), settled=mail.now))


def test_queue_that_was_never_used_is_empty(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert node.run("queue", "list") == 0
    assert capsys.readouterr().out == "The queue is empty.\n"


async def test_list_shows_the_messages_of_all_shards_in_their_order(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    late, early = await node.fill(1), await node.fill(0)
    assert node.run("queue", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "-Queue",
        early,
        "user0@example.com",
        late,
        "user0@example.com",
        "--",
    ]
    assert lines[1].endswith("2026-03-01T12:00:00Z  alice@example.org")
    assert lines[-1] == "-- 1 KiB in 2 messages, 2 recipients."


async def test_list_marks_what_is_held_and_what_is_being_delivered(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node.shard() as mail:
        claimed = await mail.save("example.com")
        await mail.claim_one()
        held = await mail.save("example.com", hold="looks odd")
        assert await asyncio.to_thread(node.run, "queue", "list") == 0
    shown = capsys.readouterr().out
    assert f"{claimed}* " in shown
    assert f"{held}! " in shown
    assert "(held: looks odd)" in shown


async def test_list_answers_in_json(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    queue_id = await node.fill()
    assert node.run("queue", "list", "--json") == 0
    (message,) = json.loads(capsys.readouterr().out)["messages"]
    assert message["id"] == queue_id
    assert message["recipients"][0]["address"] == "user0@example.com"
    assert message["received"] == "2026-03-01T12:00:00Z"
    assert message["finished"] is None


async def test_finished_messages_are_listed_apart(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node.shard() as mail:
        done = await mail.save("example.com")
        await mail.deliver(await mail.claim_one())
    assert node.run("queue", "list") == 0
    assert done not in capsys.readouterr().out
    assert node.run("queue", "list", "--finished", "--json") == 0
    (message,) = json.loads(capsys.readouterr().out)["messages"]
    assert (message["id"], message["recipients"][0]["state"]) == (done, "delivered")


async def test_show_tells_the_story_of_a_message_that_was_refused(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node.shard() as mail:
        queue_id = await mail.save("example.com")
        await _refuse(mail)
    assert node.run("queue", "show", queue_id) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert all(len(line) <= 76 for line in shown.splitlines())
    shown = " ".join(shown.split())
    for part in (
        f"{queue_id} from alice@example.org",
        "to         user0@example.com: queued, next attempt",
        "Attempt 1, 2026-03-01T12:00:00Z, 1.5 s, to mx.example.com[192.0.2.1]:25",
        "required   verify (table): letterlock.toml:40",
        "handshake  TLSv1.3 TLS_AES_256_GCM_SHA384, group X25519MLKEM768, SNI mx.example.com",
        "chain      0 CN=other.example; names other.example; issued by CN=Authority;",
        "fault      name-mismatch at 0: not for mx.example.com",
        "verdict    defer, certificate-host-mismatch (name-mismatch): the certificate is for",
        "outcome    deferred: the peer did not prove its name",
        "dialogue   S: 220 mx.example.com ESMTP",
    ):
        assert " ".join(part.split()) in shown


async def test_show_tells_the_story_in_json(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    async with node.shard() as mail:
        queue_id = await mail.save("example.com")
        await _refuse(mail)
    assert node.run("queue", "show", queue_id, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["attempts"][0]["story"] == STORY
    assert answer["attempts"][0]["seconds"] == 1.5
    assert answer["recipients"][0]["last_status"] == "4.7.5"


async def test_show_has_names_as_people_write_them_too(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5890 §2.3.2.1: A-labels are for machines; lists and logs have them, to be searched."""
    async with node.shard() as mail:
        queue_id = await mail.save("xn--bcher-kva.example")
    assert node.run("queue", "show", queue_id) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "@xn--bcher-kva.example (" in shown
    assert "@bücher.example): queued" in shown
    assert node.run("queue", "list") == 0
    assert "bücher" not in capsys.readouterr().out


async def test_show_says_when_there_was_no_attempt(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_id = await node.fill()
    assert node.run("queue", "show", queue_id) == 0
    assert "No attempt so far." in capsys.readouterr().out


async def test_show_says_that_a_message_came_in_clear(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node.shard() as mail:
        origin = {"client": "192.0.2.1", "helo": "a.example", "tls": ""}
        message = replace(await mail.message("example.com"), origin=origin)
        await mail.store.save(message)
    assert node.run("queue", "show", message.queue_id) == 0
    assert "came from  client 192.0.2.1, helo a.example, tls none\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (TlsDemand.NORMAL, None),
        (TlsDemand.REQUIRETLS, "asks for   REQUIRETLS: never without TLS"),
        (TlsDemand.TLS_REQUIRED_NO, "asks for   TLS-Required: No; it may go without TLS"),
    ],
)
async def test_what_a_message_asks_of_tls_is_shown(
    node: Node, demand: TlsDemand, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 8689 §4.1 (rule 87)."""
    async with node.shard() as mail:
        message = await mail.message("example.com")
        envelope = replace(message.envelope, tls_demand=demand)
        await mail.store.save(replace(message, envelope=envelope))
    assert node.run("queue", "show", message.queue_id) == 0
    shown = capsys.readouterr().out
    assert words is None or words in shown
    assert ("asks for" in shown) == (words is not None)
    assert node.run("queue", "show", message.queue_id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tls_demand"] == demand
    assert node.run("queue", "list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["messages"]
    assert listed["tls_demand"] == demand


async def test_message_that_is_not_there_is_bad_news(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.fill()
    assert node.run("queue", "show", "0" * 15) == 1
    assert capsys.readouterr().err.startswith(f"letterlock: {'0' * 15}: not in the queue")


@pytest.mark.parametrize("text", ["", "x", "../../etc/passwd", "AEIOU0123456789", "0" * 16])
def test_what_is_no_queue_id_is_wrong_usage(
    node: Node, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run("queue", "show", text) == 2
    assert "is not a queue id" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["0" * 15, "--all"]])
def test_change_needs_ids_or_all(
    node: Node, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run("queue", "delete", *arguments) == 2
    assert "--all" in capsys.readouterr().err


async def _listed(node: Node, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert await asyncio.to_thread(node.run, "queue", "list", "--json") == 0
    messages: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["messages"]
    return messages


async def _command(node: Node, *arguments: str) -> int:
    return await asyncio.to_thread(node.run, "queue", *arguments)


async def test_without_a_node_changes_are_made_directly(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = await node.fill(0), await node.fill(1)
    assert await _command(node, "hold", first, "--reason", "odd") == 0
    assert capsys.readouterr().out == "1 message changed\n"
    held = {message["id"]: message["hold"] for message in await _listed(node, capsys)}
    assert held == {first: "odd", second: None}
    assert await _command(node, "release", "--all") == 0
    assert [message["hold"] for message in await _listed(node, capsys)] == [None, None]
    assert await _command(node, "retry", "--all") == 0
    assert await _command(node, "delete", second) == 0
    assert [message["id"] for message in await _listed(node, capsys)] == [first]


async def test_retry_makes_a_message_due(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    async with node.shard() as mail:
        await mail.save("example.com")
        await _refuse(mail)
    (before,) = await _listed(node, capsys)
    assert await _command(node, "retry", before["id"]) == 0
    (after,) = await _listed(node, capsys)
    next_attempts = [each["recipients"][0]["next_attempt"] for each in (after, before)]
    assert next_attempts == sorted(next_attempts)
    assert next_attempts[0] != next_attempts[1]


async def test_unknown_id_is_told_and_the_others_are_changed(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_id = await node.fill()
    assert await _command(node, "hold", queue_id, "0" * 15, "--json") == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"changed": 1, "unknown": ["0" * 15], "failures": []}
    assert "not in the queue" in shown.err


class Workers:
    """Two workers that own shards 0 and 1, and note what they are asked."""

    def __init__(self, node: Node) -> None:
        self._path = node.data / "run"
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    @asynccontextmanager
    async def serving(self, **answers: Mapping[str, Any]) -> AsyncIterator["Workers"]:
        def command(name: str) -> Any:
            async def answer(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
                self.asked.append((name, arguments))
                found = answers[name.partition(".")[2] or name]
                if "refuse" in found:
                    raise ValueError(found["refuse"])
                return found

            return answer

        names = ("queue.retry", "queue.hold", "queue.release", "queue.delete", "status")
        commands = {name: command(name) for name in names}
        servers = [ControlServer(self._path / f"control.{n}", commands) for n in (0, 1)]
        for server in servers:
            await server.open()
        try:
            yield self
        finally:
            for server in servers:
                await server.close()


async def test_changes_go_to_every_worker_of_a_running_node(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with node.shard(0) as mail, node.shard(1):
        queue_id = await mail.save("example.com")
        async with Workers(node).serving(delete={"changed": 1}) as workers:
            assert await _command(node, "delete", queue_id) == 0
        assert capsys.readouterr().out == "2 messages changed\n"
        asked = ("queue.delete", {"ids": [queue_id], "reason": ""})
        assert workers.asked == [asked, asked]
        # Their owner is the node: nothing was changed behind its back.
        assert await mail.states(queue_id) == [RecipientState.QUEUED]


async def test_shard_that_no_worker_owns_is_changed_too(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.fill(7)
    async with node.shard(0), Workers(node).serving(hold={"changed": 0}) as workers:
        assert await _command(node, "hold", "--all") == 0
    assert capsys.readouterr().out == "1 message changed\n"
    assert workers.asked[0][1] == {"ids": None, "reason": "by the operator"}


async def test_worker_that_refuses_leaves_it_undecided(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Workers(node).serving(retry={"refuse": "the disk is full"}):
        assert await _command(node, "retry", "--all") == 3
    assert "letterlock: the disk is full\n" in capsys.readouterr().err


# status


async def test_status_without_a_node_counts_the_queue_and_is_bad_news(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.fill()
    assert node.run("status") == 1
    shown = capsys.readouterr().out
    assert "not running" in shown
    assert "1 message, 1 KiB; recipients: 1 waiting, 0 being delivered, 0 held" in shown
    assert node.run("status", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["running"] is False
    assert answer["queue"]["messages"] == 1
    assert answer["problems"] == ["no node runs"]


STATUS = {
    "node": {"version": "0.1.0"},
    "certificates": [
        {"names": ["mx1.example.org"], "not_after": "2026-03-05T00:00:00Z", "days_left": 3},
        {"names": ["old.example.org"], "not_after": "2026-02-05T00:00:00Z", "days_left": -3},
        {"names": ["new.example.org"], "not_after": "2026-06-05T00:00:00Z", "days_left": 90},
    ],
    "resolver": {
        "address": "127.0.0.1:53",
        "trusted": True,
        "self_test": "passed",
        "reason": "DANE can work: com is signed, and was validated",
    },
    "clients": {"no_sni": 2, "unknown_sni": 1},
    "problems": [],
}


async def test_status_adds_up_what_the_workers_say(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Workers(node).serving(status=STATUS):
        assert await asyncio.to_thread(node.run, "status", "--json") == 0
        answer = json.loads(capsys.readouterr().out)
        assert answer["node"] == {"version": "0.1.0", "workers": 2}
        assert answer["clients"] == {"no_sni": 4, "unknown_sni": 2}
        assert len(answer["certificates"]) == 3
        assert answer["resolver"] == STATUS["resolver"]
        assert await asyncio.to_thread(node.run, "status") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Node          running: version 0.1.0, workers 2"
    assert "Certificates  mx1.example.org: 3 days left (soon)" in lines
    assert "              old.example.org: has ended" in lines
    assert "              new.example.org: 90 days left" in lines
    assert "Resolver      127.0.0.1:53; DANE can work: com is signed, and was validated" in lines
    assert "Clients       4 clients that asked for no name (SNI)" in lines
    assert lines[-1] == "Problems      none"


def test_status_of_thousands_of_certificates_is_one_screen() -> None:
    found = Answers(({**STATUS, "certificate_count": 10_000},) * 2)
    document = {**merge_answers(found), "queue": None}
    assert document["certificate_count"] == 10_000
    lines = list(format_status(document))
    assert "              and 9997 more that end later: letterlock cert list" in lines


def test_status_of_one_and_of_many() -> None:
    counts = dict.fromkeys(COUNTERS, 1)
    queue = {"bytes": 1, "messages": 1, "queued": 1, "claimed": 0, "held": 0}
    document = {"running": True, "clients": counts, "queue": queue, "problems": []}
    one = [line[14:] for line in format_status(document)][2:-1]
    assert len(one) == len(COUNTERS)
    assert not [line for line in one if re.match(r"1 (?:\w+ )?\w+s\b", line)]
    assert "1 message accepted" in one
    document["clients"] = dict.fromkeys(counts, 2)
    assert "              2 messages accepted" in list(format_status(document))
    document["clients"] = {**counts, "filter_refused": 0, "filter_failed": 3}
    lines = list(format_status(document))
    assert not [line for line in lines if "refused" in line and "filter" in line], "there are none"
    assert "              3 times that a filter failed" in lines


async def test_problem_is_bad_news_and_told_once(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = 'letterlock.toml:40:policy.hops."x.example": no such level'
    async with Workers(node).serving(status={**STATUS, "problems": [problem]}):
        assert await asyncio.to_thread(node.run, "status") == 1
    assert capsys.readouterr().out.count(problem) == 1


async def test_a_shard_that_cannot_be_read_does_not_hide_the_others(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    queue_id = await node.fill(0)
    (node.data / "queue" / "shard-001.db").write_bytes(b"junk" * 4096)
    assert node.run("queue", "list") == 3
    shown = capsys.readouterr()
    assert queue_id in shown.out
    assert len(shown.err.splitlines()) == 1
    assert "shard-001.db" in shown.err
    assert node.run("queue", "show", queue_id) == 0
    assert node.run("queue", "show", "0" * 15) == 3
    capsys.readouterr()
    assert node.run("status", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["queue"]["messages"] == 1
    assert any("shard-001.db" in problem for problem in document["problems"])


def test_a_folder_that_cannot_be_read_is_no_empty_queue(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command says so and names it; nothing is said to be changed, or to wait nowhere."""
    folder = node.data / "queue"
    node.data.mkdir()
    folder.symlink_to("queue")
    for arguments in (["list"], ["show", "0" * 15], ["retry", "--all"], ["delete", "0" * 15]):
        assert node.run("queue", *arguments) == 3
        shown = capsys.readouterr()
        assert shown.out == ""
        assert f"{folder}: Too many levels of symbolic links" in shown.err
        assert len(shown.err.splitlines()) == 1
    assert node.run("status", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["queue"] is None
    assert any(str(folder) in problem for problem in document["problems"])


def test_a_folder_that_is_lost_in_the_middle_of_a_change_is_told(node: Node) -> None:
    config = find_config(node.file).load()
    node.data.mkdir()
    (node.data / "queue").symlink_to("queue")
    changed = change_queue(config, Change(Action.RETRY, None), FakeClock())
    assert changed.count == 0
    assert changed.failures == (f"{node.data}/queue: Too many levels of symbolic links",)


@pytest.mark.parametrize("size", [0, 1], ids=["empty", "begun"])
async def test_a_shard_that_is_just_being_made_is_empty(
    node: Node, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker that starts makes the file, and then its tables, one after the other."""
    queue_id = await node.fill(0)
    path = node.data / "queue" / "shard-001.db"
    path.touch()
    if size:
        connection = apsw.Connection(str(path))
        connection.execute("CREATE TABLE schema_version (version INTEGER)")
        connection.close()
    assert node.run("queue", "list") == 0
    assert queue_id in capsys.readouterr().out
    assert node.run("queue", "show", "0" * 15) == 1
    assert node.run("status", "--json") == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["queue"]["messages"] == 1
    assert "shard-001" not in shown.out + shown.err
