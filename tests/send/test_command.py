"""The program as a whole: what it drops, its exit codes (sysexits.h), and how little it loads."""

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from letterlock.storage.drop import FILE_MODE
from tests.send.sending import BARE, PATIENCE, SOURCE, DropPlace, run_send

TEXT = b"Subject: hello\n\nhello\n"


@pytest.fixture
def place(tmp_path: Path) -> DropPlace:
    return DropPlace(tmp_path).make()


def test_a_message_is_dropped_as_it_came(place: DropPlace) -> None:
    done = place.run("-i", "-f", "bob@example.org", "alice@example.org", "root", text=TEXT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    envelope, message = place.only()
    assert envelope.recipients == ("alice@example.org", "root")
    assert envelope.facts == {"sender": "bob@example.org"}
    assert message == TEXT
    (name,) = place.names()
    status = (place.drops / name).stat()
    assert stat.S_IMODE(status.st_mode) == FILE_MODE
    assert status.st_gid == place.drops.stat().st_gid


def test_recipients_are_those_of_the_header_and_those_named(place: DropPlace) -> None:
    text = b'To: "X, y" <a@b>, c\nCc: team: d, e;\nBcc: f\n\nTo: g\n'
    assert place.run("-t", "h", "a@b", text=text).returncode == 0
    envelope, message = place.only()
    assert envelope.recipients == ("h", "a@b", "c", "d", "e", "f")
    assert message == text  # what others must not see, the node takes out


def test_arguments_may_be_lists_with_names(place: DropPlace) -> None:
    """As mail(1) and PHP's mail() pass them."""
    assert place.run("Al <al@b>, c", "d,e", "-x", text=TEXT).returncode == 0
    assert place.only()[0].recipients == ("al@b", "c", "d", "e", "-x")


def test_everything_asked_for_is_in_the_envelope(place: DropPlace) -> None:
    words = ["-F", "Jo Döe", "-N", "success,failure", "-R", "hdrs", "-V", "id1", "-f", "<>"]
    assert place.run(*words, "a@b", text=TEXT).returncode == 0
    assert place.only()[0].facts == {
        "name": "Jo Döe",
        "notify": "SUCCESS,FAILURE",
        "ret": "HDRS",
        "envid": "id1",
        "sender": "",
    }


@pytest.mark.parametrize(
    ("words", "text", "expected"),
    [
        ([], b"a\n.\nb\n", b"a\n"),
        (["-i"], b"a\n.\nb\n", b"a\n.\nb\n"),
        (["-oi"], b".\n", b".\n"),
        (["-t"], b"To: c\n.\nb\n", b"To: c\n"),
        ([], b"\xff\x00\r\n\r", b"\xff\x00\r\n\r"),
        ([], b"", b""),
        (["-i"], b"x" * 300_000, b"x" * 300_000),
    ],
)
def test_a_lone_dot_ends_a_message_unless_told_not_to(
    place: DropPlace, words: list[str], text: bytes, expected: bytes
) -> None:
    assert place.run(*words, "a@b", text=text).returncode == 0
    assert place.only()[1] == expected


@pytest.mark.parametrize(
    ("words", "text", "code", "says"),
    [
        ([], TEXT, 64, "no recipients"),
        (["-f"], TEXT, 64, "value is missing"),
        (["-bv", "a@b", "c@d"], TEXT, 64, "-bv takes one address"),
        (["-f", "a, b", "c"], TEXT, 64, "one address"),
        (["-t"], TEXT, 65, "name nobody"),
        (["-t"], b"To: a b\n\n", 65, "To: "),
        (["-t"], b"X: y\n" * 60_000, 65, "header is longer"),
        (["a b"], TEXT, 65, "'a b'"),
        (["@b"], TEXT, 65, "a name, @ and a domain"),
        (["a" * 300], TEXT, 65, "not so long"),
        (["a\x7fb"], TEXT, 65, "control character"),
        (["-F", "a\nrecipient x", "b"], TEXT, 65, "control character"),
        (["a", "b", "c", "d"], TEXT, 69, "3 recipients at most"),
        (["-t"], b"To: a, b, c, d\n\n", 69, "3 recipients at most"),
        (["a"], b"x" * 2001, 69, "larger"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path, words: list[str], text: bytes, code: int, says: str
) -> None:
    place = DropPlace(tmp_path).make(max_message_bytes=2000, max_recipients=3)
    done = place.run(*words, text=text)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert place.names() == []


def test_limits_that_are_another_users_are_not_believed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    place = DropPlace(tmp_path).make(max_message_bytes=1)
    os.chown(place.drops / "limits", 65534, -1)
    assert place.run("a", text=TEXT).returncode == 0


def test_without_the_folder_it_is_tried_again_later(tmp_path: Path) -> None:
    """EX_TEMPFAIL: the node has not been started yet."""
    place = DropPlace(tmp_path)
    place.config.write_text(f'data_dir = "{tmp_path}"\n')
    done = place.run("a", text=TEXT)
    assert (done.returncode, done.stdout) == (75, "")
    assert "does not exist; the node makes it" in done.stderr


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777, 0o2777])
def test_a_folder_that_others_could_empty_is_not_used(place: DropPlace, mode: int) -> None:
    """Nor can any folder be made to take files by naming it: EX_CONFIG."""
    place.drops.chmod(mode)
    done = place.run("a", text=TEXT)
    assert done.returncode == 78
    assert "no drop folder" in done.stderr


def test_a_full_disk_is_told_and_nothing_stays(place: DropPlace) -> None:
    """EX_TEMPFAIL or EX_CANTCREAT by what the system says; here a limit on files stands for it."""
    program = (
        "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
        f"sys.path.insert(0, {str(SOURCE)!r}); from letterlock.send.command import main; "
        f"sys.exit(main(['-C', {str(place.config)!r}, 'a']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=b"x" * 5000,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 73
    assert b"File too large" in done.stderr
    assert place.names() == []


def test_newaliases_and_queue_runs_have_nothing_to_do() -> None:
    for words in (["-bi"], ["-I"], ["-q"], ["-q15m"]):
        done = run_send(*words)
        assert (done.returncode, done.stdout) == (0, "")
        assert "nothing to do" in done.stderr


def test_help_and_version_are_answers() -> None:
    assert run_send("--help").stdout.startswith("Usage: letterlock send")
    assert run_send("--version").stdout.startswith("letterlock ")


@pytest.mark.parametrize("words", [["-i", "a@b"], ["-t", "-i"]])
def test_it_loads_next_to_nothing(place: DropPlace, words: list[str]) -> None:
    """A process for each message of cron and PHP. No busy machine can break this bound: without
    a header to be read, of Python's own what starts with it, and hardly more."""
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); before = set(sys.modules); "
        f"from letterlock.send.command import main; "
        f"main({['-C', str(place.config), *words]!r}); "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=b"To: a\n\n",
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    loaded = done.stdout.decode().split()
    ours = [name for name in loaded if name.startswith("letterlock")]
    heavy = {"asyncio", "ssl", "socket", "click", "dataclasses", "msgspec", "tomllib", "typing"}
    assert not heavy.intersection(loaded)
    assert len(ours) <= 14
    assert len(loaded) - len(ours) <= (24 if "-t" in words else 4), loaded


def test_letterlock_send_is_the_same_and_loads_as_little(place: DropPlace) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); before = set(sys.modules); "
        "from letterlock.cli import main; "
        f"code = main(['send', '-C', {str(place.config)!r}, 'a']); "
        "assert not {'click', 'asyncio', 'typing'} & (set(sys.modules) - before); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-I", "-c", program], input=TEXT, timeout=PATIENCE, check=True)
    assert place.only()[1] == TEXT


def test_the_program_that_is_installed_loads_nothing_first(place: DropPlace) -> None:
    """An installer puts its interpreter in place of `#!python`, and else leaves the file alone."""
    path = SOURCE.parent / "scripts" / "letterlock-sendmail"
    assert path.read_text().startswith("#!python\n")
    shared = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text())["tool"]["hatch"]
    assert shared["build"]["targets"]["wheel"]["shared-scripts"] == {
        "scripts/letterlock-sendmail": "letterlock-sendmail"
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(path), "-C", str(place.config), "a@example.org"],
        input=TEXT,
        capture_output=True,
        timeout=PATIENCE,
        env=BARE | {"PYTHONPATH": str(SOURCE)},
        check=True,
    )
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()]
    behind = loaded[loaded.index("site") + 1 :]
    assert not {"re", "enum", "typing", "pathlib", "subprocess"}.intersection(behind)
    assert place.only()[1] == TEXT
