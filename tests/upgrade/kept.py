"""The last release, and one that is still to come, as sources that nodes run from."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.running_node import PATIENCE, Answer, NodeFiles
from tests.programs import SOURCE, command_environment
from tools.keep_release import FOLDER, unpack


@dataclass(frozen=True)
class Release:
    """Sources of some release, beside those of today."""

    source: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """For a process of that release. Its warnings are its own: what is old is not mended."""
        return {"PYTHONPATH": str(self.source), "PYTHONWARNINGS": "default"}

    def command(self, files: NodeFiles, *arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "letterlock", *arguments, "--config", str(files.config)],
            env={**command_environment(), **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)


def find_last() -> Path:
    """Give the file of the newest release that is kept."""
    return max(FOLDER.glob("*.tar.xz"), key=_version)


def unpack_last(folder: Path) -> Release:
    return Release(unpack(find_last(), folder))


def make_next(folder: Path, migration: str) -> Release:
    """Make a release after that of today, with one more migration of both SQLite schemas."""
    source = folder / "src"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE / "letterlock", source / "letterlock", ignore=ignored)
    for name in ("migrations", "node_migrations"):
        home = source / "letterlock" / "storage" / "sqlite" / name
        number = max(int(path.name[:4]) for path in home.glob("*.sql")) + 1
        (home / f"{number:04d}_next.sql").write_text(migration.format(number=number))
    return Release(source)


def _version(path: Path) -> list[int]:
    return [int(part) for part in path.name.removesuffix(".tar.xz").split(".")]
