"""Keep the sources of a release for tests/upgrade: `python -m tools.keep_release`, at the release.

`git archive` of HEAD's src/letterlock, as `tests/upgrade/releases/VERSION.tar.xz`, where VERSION is
that of pyproject.toml. The tests start it as a process beside the sources of today, from a shallow
clone and without a network. `--again` makes the file of a release anew that is not out yet.
"""

import argparse
import io
import lzma
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "upgrade" / "releases"


def main() -> None:
    """Write the file, unless it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="replace the file of this version")
    is_again = parser.parse_args().again
    version = read_version(_git("show", "HEAD:pyproject.toml"))
    path = FOLDER / f"{version}.tar.xz"
    if path.exists() and not is_again:
        sys.exit(f"{path.relative_to(ROOT)}: there already; raise the version, or give --again")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(_git("archive", "--format=tar", "HEAD", "src/letterlock")))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} octets")


def read_version(pyproject: bytes) -> str:
    """Give the version that a pyproject.toml names."""
    version = tomllib.loads(pyproject.decode())["project"]["version"]
    assert isinstance(version, str)
    return version


def pack(archive: bytes) -> bytes:
    """Compress an archive of sources."""
    return lzma.compress(archive, preset=9 | lzma.PRESET_EXTREME)


def unpack(packed: Path, folder: Path) -> Path:
    """Unpack a kept release; gives what to put into PYTHONPATH."""
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(packed.read_bytes()))) as archive:
        for member in archive:
            # Of ourselves, and yet: nothing that leads elsewhere, nothing but files.
            if member.isfile() and member.name.startswith("src/") and ".." not in member.name:
                content = archive.extractfile(member)
                assert content is not None
                # `extract` warns without a filter since Python 3.12, and 3.11.2 has no filters.
                path = folder / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    return folder / "src"


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
