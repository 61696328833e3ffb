"""`letterlock demo --incident`: certificates are revoked, and mail flows all the while."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.demo.test_demo import DEMO, environment


@pytest.mark.proof
def test_an_incident_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    """RFC 9773 §4: found, told, renewed by itself, revoked; and each message went."""
    done = subprocess.run(
        [*DEMO, "--once", "--incident"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0), done.stdout
    flat = " ".join(done.stdout.split())
    for pattern in (
        r"enabled: the file of http-01 was taken from anybody 4 affected",
        r"renewed mx\.demo\.example: \w{8}\.\.\. is followed by \w{8}\.\.\.",
        r"ended: .* 4 affected, 4 told, 4 replaced, 4 revoked, 0 left",
        r"holds the CRL has the 4 old ones, and none of the new",
        r"holds the receiver's postmaster had a mail about it",
        r"holds (\d+) messages were sent meanwhile, \1 went at once",
    ):
        assert re.search(pattern, flat), pattern
    assert list(tmp_path.iterdir()) == []
