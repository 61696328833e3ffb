"""`tlsrpt collect` in place of tlsrpt-collectd, as a process."""

import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.protocols.tlsrpt.fetcher import parse_details, parse_domain_list
from letterlock.services.collect.journal import Batch, Journal
from tests.journeys.collecting import (
    CollectorFiles,
    collecting,
    make_collector,
    send,
    send_patiently,
)
from tests.journeys.running_node import PATIENCE, RunningNode
from tests.protocols.tlsrpt.datagrams import DATAGRAMS, make_datagram

SOME = [text.encode() for text in DATAGRAMS]


def test_what_comes_is_counted_shown_and_fetched(tmp_path: Path) -> None:
    """Rules 240, 241 and 242."""
    files = make_collector(tmp_path)
    with collecting(files) as collector:
        assert send(files.socket, [*SOME, SOME[0], b"garbage"]) == 0
        collector.wait_for(lambda: files.count_sessions() == 4, "four sessions")
        collector.wait_log("datagrams refused: 1, lastly: not JSON")
        assert files.socket.stat().st_mode & 0o777 == 0o666
        shown = files.command("tlsrpt", "collect", "--show", "--json")
        assert shown.code == 0
        days = shown.document["days"]
        domains = {each["domain"]: each for day in days for each in day["domains"]}
        assert set(domains) == {"example.com", "example.net", "example.org"}
        assert domains["example.com"]["destinations"] == ["mailto:reports@example.com"]
        (policy,) = domains["example.net"]["policies"]
        assert (policy["type"], policy["successful"], policy["failed"]) == ("sts", 0, 1)
        text = files.command("tlsrpt", "collect", "--show").output
        assert "NOT COUNTED  1 datagrams were no result of a session" in text
        assert "example.net: sts: 1 of 1 session failed" in text
        assert "1 validation-failure at mx1.example.net 198.51.100.7: self-signed" in text
        assert collector.stop() == 0
    assert not files.socket.exists()


def test_a_day_that_is_over_is_fetched_as_tlsrpt_reportd_asks(tmp_path: Path) -> None:
    """Rules 242 and 243."""
    files = make_collector(tmp_path)
    today = SystemClock().now().date()
    yesterday = today - timedelta(days=1)
    files.days.folder.mkdir(parents=True)
    journal = Journal(files.days, yesterday)
    journal.count(Batch(dict.fromkeys(SOME, 2)))
    journal.close()
    listed = parse_domain_list(
        files.command("tlsrpt", "fetch", yesterday.isoformat()).output.encode()
    )
    assert (listed.day, len(listed.domains)) == (yesterday, 3)
    details = files.command("tlsrpt", "fetch", yesterday.isoformat(), "example.net").output
    (results,) = parse_details(details.encode())
    assert (results.domain, results.policies[0].failed) == ("example.net", 2)
    not_yet = files.command("tlsrpt", "fetch", today.isoformat()).output
    assert parse_domain_list(not_yet.encode()).domains == ()


def test_a_kill_loses_nothing_that_is_in_the_journal_and_counts_nothing_twice(
    tmp_path: Path,
) -> None:
    """Rule 244; one round, and many in `proof`."""
    kill_rounds(tmp_path, 1)


@pytest.mark.proof
def test_many_kills(tmp_path: Path) -> None:
    """Rule 244."""
    kill_rounds(tmp_path, 40)


def kill_rounds(folder: Path, rounds: int) -> None:
    """Kill it under load: each datagram is counted once, or was sent in the last moments."""
    files = make_collector(folder)
    sent = 0
    for number in range(rounds):
        with collecting(files) as collector:
            before = files.count_sessions()
            load = [make_datagram(f"r{number}-{at % 400}.example") for at in range(3000)]
            taken = send_patiently(files.socket, load[:1500])
            # All of these are in the journal before the kill, whenever that is.
            collector.wait_for(lambda: files.count_sessions() == before + 1500, "the first half")  # noqa: B023
            taken += send_patiently(files.socket, load[1500 : 1500 + 37 * (number % 40)])
            collector.process.kill()
            collector.process.wait(PATIENCE)
        sent += taken
        counted = files.count_sessions()
        assert before + 1500 <= counted <= before + taken
        for day in files.days.list_days():
            for record in files.days.load(day).journal:
                assert record
    assert files.count_sessions() <= sent
    with collecting(files) as collector:
        collector.wait_log(rf"has {files.count_sessions()} sessions|over")


def test_a_socket_that_is_removed_is_made_again(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    with collecting(files) as collector:
        send(files.socket, SOME[:1])
        files.socket.unlink()
        collector.wait_log("was removed, and is made again")
        assert send(files.socket, SOME) == 0
        collector.wait_for(lambda: files.count_sessions() == 4, "all of them")
        collector.process.send_signal(signal.SIGHUP)
        collector.wait_log("changed settings need a restart")


def test_where_the_socket_cannot_be_made_again_it_ends(tmp_path: Path) -> None:
    """What starts it again, as root where need be, makes it."""
    files = make_collector(tmp_path)
    with collecting(files) as collector:
        assert send(files.socket, SOME) == 0
        shutil.rmtree(files.socket.parent)
        assert collector.process.wait(PATIENCE) == 2
        collector.stop()
        assert "its folder must be there" in collector.log
    assert files.count_sessions() == 3


def test_where_no_report_goes_is_shown(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    files.days.folder.mkdir(parents=True)
    journal = Journal(files.days, SystemClock().now().date())
    ftp = "v=TLSRPTv1;rua=ftp://b.example/"
    journal.count(
        Batch({make_datagram("a.example", pr=""): 1, make_datagram("b.example", pr=ftp): 1})
    )
    journal.close()
    lines = files.command("tlsrpt", "collect", "--show").output.splitlines()
    assert lines[2] == "    its TLSRPT record is looked up when the report is made"
    assert lines[4] == f"    no report: no TLSRPT record with mailto or https: {ftp}"


def test_without_counts_show_says_what_makes_them(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    answer = files.command("tlsrpt", "collect", "--show")
    assert answer.code == 3
    assert "`letterlock tlsrpt collect` makes it" in answer.error
    assert files.command("tlsrpt", "collect", "--json").code == 2
    files.days.folder.mkdir(parents=True)
    assert files.command("tlsrpt", "collect", "--show").output == "nothing is counted yet\n"


@contextmanager
def started_by_systemd(files: CollectorFiles, listener: socket.socket) -> Iterator[RunningNode]:
    """Start it with a socket that outlives it, as systemd does."""
    program = (
        "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); "
        "os.dup2(int(sys.argv[1]), 3); os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
    )
    starter = [sys.executable, "-c", program, str(listener.fileno())]
    own = ["-m", "letterlock", "tlsrpt", "collect", "--config", str(files.config)]
    node = RunningNode(
        files, [*starter, *own], pass_fds=[listener.fileno()], environment={"LISTEN_FDS": "1"}
    )
    try:
        node.wait_log("counting what comes at")
        yield node
    finally:
        node.stop()


def test_with_systemds_socket_a_restart_loses_nothing(tmp_path: Path) -> None:
    files = make_collector(tmp_path)
    path = tmp_path / "systemd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        with started_by_systemd(files, listener) as collector:
            assert send(path, SOME) == 0
            collector.wait_for(lambda: files.count_sessions() == 3, "the first three")
        assert send(path, SOME) == 0
        with started_by_systemd(files, listener) as collector:
            collector.wait_for(lambda: files.count_sessions() == 6, "what came in between")
        assert path.exists()
