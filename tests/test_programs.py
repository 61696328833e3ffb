"""What is forked does as a new interpreter would."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.programs import PROGRAM, ForkedProgram, command_environment, run_program

PATIENCE = 60.0
CONFIG = (
    'hostname = "mx.example.org"\ndomains = ["example.org"]\ncontact = "a@example.org"\n'
    'data_dir = "data"\n[receive]\nlisten = ["127.0.0.1:0"]\n[node]\nworkers = 1\n'
)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["queue", "no-such-thing"], ["tlsrpt", "show", "-", "report.json"]]
)
def test_it_says_and_ends_as_one_does(
    arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its input is empty, and it is where the test is."""
    (tmp_path / "report.json").write_text('{"policies": []}')
    monkeypatch.chdir(tmp_path)
    forked = run_program(arguments, timeout=PATIENCE)
    new = subprocess.run(
        [*PROGRAM, *arguments],
        env=command_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = (forked.returncode, forked.stdout, forked.stderr)
    assert found == (new.returncode, new.stdout, new.stderr)


def test_a_signal_ends_it_and_its_end_is_seen(tmp_path: Path) -> None:
    config = tmp_path / "letterlock.toml"
    config.write_text(CONFIG.replace('"data"', f'"{tmp_path / "data"}"'))
    process = ForkedProgram(["serve", "--config", str(config)])
    with process.stderr as log:
        for line in log:
            if "receiving on" in line:
                break
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.kill()
        assert process.wait(PATIENCE) == process.poll() == -signal.SIGKILL
        log.read()
