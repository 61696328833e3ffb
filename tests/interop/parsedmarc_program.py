"""parsedmarc as a program: `.venv-parsedmarc` runs it, and `parsedmarc_peer.py` speaks with it.

Each line of its input is a request in JSON, each of its output the answer; octets are in base64.
"""

import base64
import json
import sys
import time
from typing import Any

import parsedmarc  # type: ignore[import-not-found] # in .venv-parsedmarc only


def read(request: dict[str, Any]) -> dict[str, Any]:
    """Read a report mail; gives what it says in parsedmarc's words, or the error."""
    try:
        found = parsedmarc.parse_report_email(base64.b64decode(request["mail"]), offline=True)
    except Exception as error:  # noqa: BLE001 - it has several
        return {"report": None, "error": f"{type(error).__name__}: {error}"}
    return {"report": found["report"], "error": None}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Read a mail again and again; gives how many seconds of the CPU that took."""
    mail = base64.b64decode(request["mail"])
    start = time.process_time()
    for _ in range(request["times"]):
        parsedmarc.parse_report_email(mail, offline=True)
    return {"seconds": time.process_time() - start}


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        answer = read(asked) if asked["do"] == "read" else measure(asked)
        print(json.dumps(answer), flush=True)  # noqa: T201 - its answer
