"""How `letterlock ca serve` begins and ends, and what keeps it from it, in one line."""

import socket
from pathlib import Path

from tests.authority_running import AuthorityFiles, RunningAuthority, running_authority


def test_processes_share_a_store_and_a_certificate(tmp_path: Path) -> None:
    """Both answer, each at its own port; one that ends stops nothing of the other."""
    files = AuthorityFiles(tmp_path)
    with running_authority(files) as first:
        shown = (files.keys / "server.pem").read_bytes()
        second = RunningAuthority(files).wait_ready()
        assert second.directory != first.directory
        assert second.stop() == 0
        assert (files.keys / "server.pem").read_bytes() == shown
        assert files.command("ca", "list").code == 0
        assert first.stop() == 0


def test_without_keys_it_says_what_to_do(tmp_path: Path) -> None:
    files = AuthorityFiles(tmp_path)
    files.write()
    for command in (("serve",), ("list",), ("halt", "--why", "no reason")):
        answer = files.command("ca", *command)
        assert answer.code == 2
        assert "there is no authority yet: run letterlock ca init" in answer.error
        assert answer.error.count("\n") == 1


def test_a_port_that_another_has_is_told_with_its_setting(tmp_path: Path) -> None:
    files = AuthorityFiles(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        files.change("ca", listen=[f"127.0.0.1:{other.getsockname()[1]}"])
        files.make()
        answer = files.command("ca", "serve")
    assert answer.code == 2
    assert "ca.listen" in answer.error
    assert answer.error.count("\n") == 1
