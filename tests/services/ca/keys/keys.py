"""What tests of keys share."""

import subprocess
from pathlib import Path

from tests.peers import environment, program

PASSPHRASE = "a passphrase that is long enough"


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("openssl"), *arguments],
        env=environment("openssl"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
