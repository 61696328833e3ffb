"""A SoftHSM token for tests: a library of PKCS#11 whose keys are files below a folder."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pkcs11

from tests.peers import environment, find_program, program

LABEL = "authority"
PIN = "5678"


def find_module() -> Path:
    """Give SoftHSM's library, which lies beside its program."""
    found = find_program("softhsm2-util", "softhsm")
    assert found is not None
    root = found.parent.parent.parent
    folders = (root / "usr/lib/softhsm", *root.glob("usr/lib/*/softhsm"))
    return next(path for each in folders if (path := each / "libsofthsm2.so").is_file())


@contextmanager
def softhsm(folder: Path) -> Iterator[Path]:
    """Make a token, and give the folder that it is in. There is one at a time."""
    tokens = folder / "tokens"
    tokens.mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n", encoding="utf-8")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    try:
        made = ("--init-token", "--free", "--label", LABEL, "--so-pin", "1234", "--pin", PIN)
        subprocess.run(
            [program("softhsm2-util"), *made],
            env=environment("softhsm"),
            check=True,
            capture_output=True,
        )
        # A process reads its settings when it begins with the library: others had theirs before.
        pkcs11.lib(str(find_module())).reinitialize()
        yield tokens
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]
        else:
            os.environ["SOFTHSM2_CONF"] = before
