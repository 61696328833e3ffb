"""A running node changes: its configuration by SIGHUP, its certificates by themselves."""

import signal
import smtplib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from letterlock.network.control_client import NodeNotRunning, ask_all
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, mx_certificate, running
from tests.network.certificates import NOW, authority, issue, write_pair


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    files = NodeFiles(tmp_path_factory.mktemp("node"))
    files.add_certificate(mx_certificate())
    with running(files) as node:
        yield node


def is_known(client: smtplib.SMTP, address: str) -> bool:
    client.ehlo_or_helo_if_needed()
    client.rset()
    client.mail("bob@example.net")
    return client.rcpt(address)[0] == 250


def shown_certificate(node: RunningNode) -> bytes:
    with node.client() as client:
        client.start()
        return client.certificate


def is_known_now(node: RunningNode, address: str) -> bool:
    """Ask over a new connection: old workers may take one until they have heard of the reload."""
    with node.client() as client:
        return is_known(client, address)


def problems(node: RunningNode) -> list[str]:
    found: list[str] = node.files.command("status", "--json").document["problems"]
    return found


def test_a_changed_configuration_holds_for_new_sessions_and_open_ones_go_on(
    node: RunningNode,
) -> None:
    with node.client() as before:
        assert not is_known(before, "carol@example.org")
        before.rset()
        before.begin("bob@example.net", ["alice@example.org"])
        node.files.change("local", mailboxes=["alice", "carol"])
        node.files.write()
        node.reload()
        node.wait_for(lambda: is_known_now(node, "carol@example.org"), "the new configuration")
        # The open session is where it was, and its message is taken.
        code, reply = before.data("Subject: begun before\n\nhello\n")
        assert code == 250, reply
        assert not is_known(before, "carol@example.org")
    queue_id = reply.decode().split()[-1]
    node.wait_delivered(queue_id)


def test_a_node_is_there_all_the_while(node: RunningNode) -> None:
    """`status` says so, and clients are greeted: the old workers go when the new ones serve."""
    is_over = threading.Event()

    def look() -> list[object]:
        seen: list[object] = []
        while not is_over.is_set():
            try:
                answers = ask_all(node.files.data / "run" / "control", "status", {}, PATIENCE)
            except NodeNotRunning as error:
                seen.append(error)
            else:
                seen += answers.failures
        return seen

    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look)
        for _ in range(3):
            node.reload()
        is_over.set()
        assert looking.result(PATIENCE) == []


def test_a_bad_configuration_changes_nothing_and_is_told(node: RunningNode) -> None:
    workers = node.worker_pids()
    text = node.files.config.read_text()
    node.files.config.write_text(text + "[nonsense]\nkey = 1\n")
    line = len(text.splitlines()) + 1
    since = len(node.lines)
    node.reload()
    node.wait_log(rf"error: reload: {node.files.config}:{line}:\d+: nonsense: ", since=since)
    node.wait_log("the configuration in use stays", since=since)
    assert set(workers) <= set(node.worker_pids()) | set(workers)
    node.wait_delivered(node.send())
    node.files.write()
    assert any("nonsense" in problem for problem in problems(node))
    node.reload()
    # The new worker may not listen to commands yet when the old one has ceased to.
    node.wait_for(lambda: problems(node) == [], "an end of problems")


def test_workers_that_fail_at_their_start_take_the_place_of_nobody(node: RunningNode) -> None:
    """What no look at a configuration finds: the mail of the old ones goes on meanwhile."""
    in_the_way = node.files.folder / "in-the-way"
    in_the_way.write_text("")
    usual = node.files.data / "run" / "control"
    since = len(node.lines)
    node.files.change("node", control_socket=str(in_the_way / "control"))
    node.files.write()
    node.process.send_signal(signal.SIGHUP)
    node.wait_log(r"error: worker 0: .*in-the-way", since=since)
    node.wait_log(r"worker 0 \(process \d+\) ended with 1", since=since)
    node.wait_delivered(node.send())
    ((problem,),) = (each["problems"] for each in ask_all(usual, "status", {}, PATIENCE).answers)
    assert problem.startswith("reload: a new worker ended with 1 ")
    in_the_way.unlink()
    node.wait_log("reload: the new workers serve, the old ones drain", since=since)
    assert problems(node) == []
    node.wait_delivered(node.send())
    del node.files.settings["node"]["control_socket"]
    node.files.write()
    node.reload()


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("node", {"workers": 2}, "node.workers: a change needs a restart"),
        ("log", {"format": "json"}, "log.format: a change needs a restart"),
        ("receive", {"listen": ["192.0.2.1:0"]}, r"receive.listen: 192\.0\.2\.1:0: .*"),
        (
            "deliver",
            {"client_certificate": "gone.pem", "client_key": "gone.key"},
            "gone.pem: No such file",
        ),
        ("policy", {"postfix_table": "gone"}, "policy.postfix_table: .*gone: No such file"),
        ("tls", {"certificates": [{"certificate": "gone", "key": "gone"}]}, "gone: No such file"),
    ],
)
def test_what_cannot_be_used_leaves_all_as_it_was(
    node: RunningNode, section: str, values: dict[str, object], message: str
) -> None:
    kept = {name: dict(keys) for name, keys in node.files.settings.items()}
    node.files.change(section, **values)
    node.files.write()
    node.files.settings = kept
    since = len(node.lines)
    node.reload()
    node.wait_log(rf"error: reload: {node.files.config}:\d+:\d+: .*{message}", since=since)
    assert "new workers start" not in "".join(node.lines[since:])
    node.wait_delivered(node.send())
    node.files.write()


def test_a_new_certificate_is_shown_to_new_connections_only(node: RunningNode) -> None:
    """Nobody sends a signal; a pair that does not match is not taken."""
    old = mx_certificate()
    new = authority().issue(["mx.example.org"], now=NOW)
    with node.client() as before:
        before.start()
        assert before.certificate == old.der
        certificate = node.files.folder / "mx.pem"
        since = len(node.lines)
        certificate.write_bytes(new.chain_pem)
        node.wait_log(r"not reloaded: .*mx\.key: not the key of the certificate", since=since)
        with node.client() as between:
            between.start()
            assert between.certificate == old.der
        write_pair(node.files.folder, new, "mx")
        node.wait_log(r"loaded .*mx\.pem", since=since)
        # The old workers may accept one more connection before they hear of it.
        node.wait_for(lambda: shown_certificate(node) == new.der, "the new certificate")
        before.deliver("bob@example.net", ["alice@example.org"], "Subject: still here\n\nhello\n")


def test_clients_without_a_name_we_have_are_served_and_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """RFC 6066 §3: no SNI, an unknown one, and one that is none never fail a handshake."""
    files = NodeFiles(tmp_path_factory.mktemp("sni"))
    files.add_certificate(issue(("mx.example.org", "other.example")))
    with running(files) as node:
        for name in ("mx.example.org", None, None, "other.example"):
            with node.client() as client:
                client.start(name)
        for name in ("unknown.example", "localhost", "192.0.2.1"):
            with node.client() as client:
                client.start_unverified(name)
        clients = files.command("status", "--json").document["clients"]
    assert clients["tls"] == 7
    assert clients["tls_failed"] == 0
    # An address is no name (RFC 6066 §3): the library sends none for it.
    assert clients["no_sni"] == 3
    assert clients["unknown_sni"] == 2
    # The log is whole: the node has ended.
    assert node.log.count("sni none") == 3
    assert node.log.count("sni unknown.example") == 1
