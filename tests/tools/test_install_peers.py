"""Installing peers starts nothing and removes nothing."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import peers
from tests.peers import PEERS, Peer
from tools import install_peers
from tools.install_peers import InstallError, Plan, parse_plan

SIMULATION = """\
NOTE: This is only a simulation!
Remv exim4-daemon-light [4.96-15]
Inst libdb5.3 [5.3.28] (5.3.29 Debian:12 [amd64]) []
Inst postfix (3.7.11 Debian:12 [amd64])
Conf libdb5.3 (5.3.29 Debian:12 [amd64])
Conf postfix (3.7.11 Debian:12 [amd64])
"""


def test_a_simulation_says_what_would_come_and_go() -> None:
    assert parse_plan(SIMULATION) == Plan(("libdb5.3", "postfix"), ("exim4-daemon-light",))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that would have been run, as root; apt would remove nothing."""
    ran: list[list[str]] = []

    def run(command: Sequence[str], *, text: str | None = None, cwd: str | None = None) -> None:
        del text, cwd
        ran.append(list(command))

    monkeypatch.setattr(install_peers, "_run", run)
    monkeypatch.setattr(install_peers, "plan", lambda packages: Plan(tuple(packages), ()))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return ran


def test_a_transfer_agent_that_is_there_is_not_removed(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install_peers, "plan", lambda _: parse_plan(SIMULATION))
    with pytest.raises(InstallError, match="would remove exim4-daemon-light"):
        install_peers.install([PEERS["postfix"]])
    assert commands == []


def test_apt_is_told_to_remove_nothing_and_no_service_is_left_to_start(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install_peers, "POLICY", tmp_path / "policy-rc.d")
    install_peers.install([PEERS["postfix"]])
    assert "--no-remove" in commands[-2]
    assert commands[-1] == ["update-rc.d", "postfix", "disable"]


def test_without_root_the_way_without_it_is_named(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(InstallError, match="make peers-unpacked"):
        install_peers.install([PEERS["swaks"]])
    assert commands == []


def test_without_apt_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(InstallError, match="swaks, postfix"):
        install_peers.bring([PEERS["swaks"], PEERS["postfix"]], unpack_all=False)


@pytest.mark.parametrize(("unpack_all", "installed"), [(False, ["swaks", "postfix"]), (True, [])])
def test_only_one_transfer_agent_is_installed_and_with_unpack_none(
    unpack_all: bool, installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: dict[str, list[str]] = {"install": [], "unpack": []}

    def install(chosen: Sequence[Peer]) -> None:
        done["install"] += [peer.name for peer in chosen]

    monkeypatch.setattr(install_peers, "install", install)
    monkeypatch.setattr(install_peers, "unpack", lambda peer: done["unpack"].append(peer.name))
    monkeypatch.setattr(install_peers, "find_missing", lambda _: ())
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    names = ("swaks", "postfix", "postfix-3.10", "exim", "opensmtpd", "sendmail")
    wanted = [PEERS[name] for name in names]
    install_peers.bring(wanted, unpack_all=unpack_all)
    assert done["install"] == installed
    assert done["unpack"] == [peer.name for peer in wanted if peer.name not in installed]


def test_what_only_proofs_need_is_brought_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    brought: list[list[str]] = []

    def bring(wanted: Sequence[Peer], *, unpack_all: bool) -> None:
        del unpack_all
        brought.append([peer.name for peer in wanted])

    monkeypatch.setattr(install_peers, "bring", bring)
    monkeypatch.setattr(install_peers, "find_missing", lambda name: (name,))
    install_peers.main([])
    install_peers.main(["--proofs"])
    usual, all_peers = brought
    assert "go" in all_peers
    assert usual == [name for name in all_peers if not PEERS[name].is_for_proofs]
    assert "all peers are there: " in capsys.readouterr().out


def test_a_service_that_only_systemd_knows_is_not_installed() -> None:
    assert install_peers._must_be_unpacked(PEERS["caddy"])


def test_while_packages_are_installed_no_service_may_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    policy.chmod(0o755)
    monkeypatch.setattr(install_peers, "POLICY", policy)
    with install_peers.services_denied():
        assert "101" in policy.read_text()
        assert os.access(policy, os.X_OK)
    assert "exit 0" in policy.read_text()


def test_a_policy_that_denies_already_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\n# mine\nexit 101\n")
    policy.chmod(0o755)
    monkeypatch.setattr(install_peers, "POLICY", policy)
    with install_peers.services_denied():
        assert "# mine" in policy.read_text()
    assert "# mine" in policy.read_text()


def test_what_is_unpacked_runs_with_no_rights_but_the_callers(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "sbin" / "exim4"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o6755)
    install_peers._clear_privileges(tmp_path)
    assert stat.S_IMODE(program.stat().st_mode) == 0o755


def test_an_unpacked_peer_is_found_in_its_own_folder_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "UNPACKED", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/sbin/sendmail")
    assert peers.find_program("sendmail", "exim") == Path("/usr/sbin/sendmail")
    mine = tmp_path / "exim" / "usr" / "sbin" / "sendmail"
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    assert peers.find_program("sendmail", "exim") is None, "not executable"
    mine.chmod(0o755)
    assert peers.find_program("sendmail", "exim") == mine
    (tmp_path / "exim" / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    assert peers.environment("exim")["LD_LIBRARY_PATH"].endswith("/usr/lib/x86_64-linux-gnu")


def test_a_peer_of_another_release_is_looked_for_in_its_folder_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "UNPACKED", tmp_path)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "postconf" else None)
    assert peers.find_program("postconf", "postfix-3.10") is None
    mine = tmp_path / "postfix-3.10" / "usr" / "sbin" / "not-in-the-system"
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    mine.chmod(0o755)
    assert peers.find_program("not-in-the-system", "postfix-3.10") == mine
    assert peers.find_program("not-in-the-system") is None, "it would not start"


def test_a_peer_of_another_release_runs_where_that_is_the_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The system's loader cannot start what was built for another C library."""
    monkeypatch.setattr(peers, "UNPACKED", tmp_path)
    mine = tmp_path / "postfix-3.10" / "usr" / "sbin" / "postconf"
    mine.parent.mkdir(parents=True)
    mine.write_text("")
    mine.chmod(0o755)
    words = peers.command("postfix-3.10", "postconf", "-h", 1)
    assert words[:2] == ["unshare", "--mount"]
    usr = str(tmp_path / "postfix-3.10/usr")
    assert words[-6:] == [usr, "/usr", "--", "/usr/sbin/postconf", "-h", "1"]
    assert "LD_LIBRARY_PATH" not in peers.environment("postfix-3.10")
    monkeypatch.setattr("shutil.which", lambda _: "/usr/sbin/postconf")
    assert peers.command("postfix", "postconf", "-h") == ["/usr/sbin/postconf", "-h"]
    path = Path("/usr/lib/postfix/sbin/master")
    assert peers.command("postfix-3.10", path)[-1] == str(path)


def test_another_release_is_shown_to_apt_in_lists_of_our_own(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(install_peers, "_mirror", lambda: "http://mirror.example/debian/")
    apt = install_peers.show_release("trixie", tmp_path)
    assert commands == [[*apt, "update"]]
    assert "Acquire::Check-Valid-Until=false" in apt, "a mirror may lag behind"
    for option in ("Dir::Etc::SourceList", "Dir::State", "Dir::State::Status", "Dir::Cache"):
        assert any(word.startswith(f"{option}={tmp_path}") for word in apt), option
    (source,) = (tmp_path / "sources.list").read_text().splitlines()
    assert re.fullmatch(
        r"deb \[signed-by=\S+\] http://mirror\.example/debian/ trixie main", source
    ), source


def test_the_newest_postgresql_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "UNPACKED", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    for version in ("9.6", "15", "17"):
        program = tmp_path / "postgresql" / "usr/lib/postgresql" / version / "bin" / "initdb"
        program.parent.mkdir(parents=True)
        program.write_text("")
        program.chmod(0o755)
    found = peers.find_program("initdb", "postgresql")
    assert found is not None
    assert found.parent.parent.name == "17"
