"""parsedmarc in an environment of its own, asked what report mails say."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.side_environment import is_current, side_python

NAME = "parsedmarc"
_PROGRAM = Path(__file__).with_name("parsedmarc_program.py")


@dataclass(frozen=True, slots=True)
class Parsedmarc:
    """A running parsedmarc."""

    process: "subprocess.Popen[str]"

    def read(self, mail: bytes) -> dict[str, Any] | str:
        """Give what a mail's report says, in its words, or its error."""
        answer = self._ask({"do": "read", "mail": base64.b64encode(mail).decode()})
        report: dict[str, Any] | None = answer["report"]
        return str(answer["error"]) if report is None else report

    def measure(self, mail: bytes, times: int) -> float:
        """Give the seconds of the CPU that it takes to read a mail so many times."""
        mail_text = base64.b64encode(mail).decode()
        return float(self._ask({"do": "measure", "mail": mail_text, "times": times})["seconds"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{json.dumps(request)}\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


def is_here() -> bool:
    """Say whether its environment is there."""
    return is_current(NAME)


@contextmanager
def running_parsedmarc() -> Iterator[Parsedmarc]:
    """Run it; what it complains of is dropped."""
    with subprocess.Popen(
        [side_python(NAME), _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield Parsedmarc(process)
