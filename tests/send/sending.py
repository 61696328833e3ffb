"""The program as others run it, and a folder that it drops into."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from letterlock.storage.drop import (
    LIMITS,
    MODE,
    WHOLE,
    DropEnvelope,
    format_limits,
    parse_envelope,
)

SOURCE = Path(__file__).resolve().parent.parent.parent / "src"
_PROGRAM = (
    f"import sys; sys.path.insert(0, {str(SOURCE)!r}); sys.argv[0] = 'letterlock-sendmail'; "
    "from letterlock.send.command import main; sys.exit(main())"
)
COMMAND = (sys.executable, "-c", _PROGRAM)
PATIENCE = 60.0
BARE = {"PATH": "/usr/bin:/bin"} | {
    name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")
}
"""The environment of a program that cron runs."""


@dataclass(frozen=True)
class DropPlace:
    """A drop folder without a node, and a configuration that names it."""

    folder: Path

    @property
    def drops(self) -> Path:
        return self.folder / "drop"

    @property
    def config(self) -> Path:
        return self.folder / "letterlock.toml"

    def make(self, **limits: int) -> "DropPlace":
        self.drops.mkdir()
        self.drops.chmod(MODE)
        self.config.write_text(f'data_dir = "{self.folder}"\n')
        if limits:
            (self.drops / LIMITS).write_bytes(format_limits(limits))
        return self

    def run(self, *words: str, text: bytes = b"") -> subprocess.CompletedProcess[str]:
        return run_send("-C", str(self.config), *words, text=text)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.drops.iterdir() if path.name != LIMITS)

    def only(self) -> tuple[DropEnvelope, bytes]:
        """Give the one message that is there."""
        (name,) = self.names()
        assert name.startswith(WHOLE)
        return parse_envelope((self.drops / name).read_bytes())


def run_send(*words: str, text: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run the program as cron does: in an environment of next to nothing."""
    done = subprocess.run(
        [*COMMAND, *words],
        input=text,
        capture_output=True,
        timeout=PATIENCE,
        env=BARE,
        check=False,
    )
    answer = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(done.args, done.returncode, *answer)
