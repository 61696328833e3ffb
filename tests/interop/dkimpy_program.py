"""dkimpy as a program: `.venv-dkimpy` runs it, and `dkimpy.py` speaks with it.

Each line of its input is a request in JSON, each of its output the answer; octets are in base64.
"""

import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import dkim  # type: ignore[import-not-found] # in .venv-dkimpy only


def sign(request: dict[str, Any]) -> dict[str, Any]:
    """Sign a message; gives the field."""
    signer = dkim.DKIM(_octets(request["message"]))
    field = signer.sign(
        request["selector"].encode(),
        request["domain"].encode(),
        _octets(request["key"]),
        signature_algorithm=request["algorithm"].encode(),
        canonicalize=tuple(form.encode() for form in request["forms"]),
        include_headers=[name.encode() for name in request["names"]],
        length=request["length"],
    )
    return {"field": base64.b64encode(field).decode()}


def verify(request: dict[str, Any]) -> dict[str, Any]:
    """Verify one signature of a message; gives whether it is good, and why not."""
    keys = request["keys"]

    def find(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001 - dkimpy's interface
        record = keys.get(name.decode().removesuffix("."))
        return None if record is None else record.encode()

    try:
        verifier = dkim.DKIM(_octets(request["message"]))
        return {"is_good": bool(verifier.verify(request["place"], dnsfunc=find)), "reason": ""}
    except dkim.DKIMException as error:
        return {"is_good": False, "reason": str(error)}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Do another request again and again; gives how many seconds of the CPU that took."""
    do = _REQUESTS[request["what"]["do"]]
    start = time.process_time()
    for _ in range(request["times"]):
        do(request["what"])
    return {"seconds": time.process_time() - start}


_REQUESTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "sign": sign,
    "verify": verify,
    "measure": measure,
}


def _octets(text: str) -> bytes:
    return base64.b64decode(text)


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_REQUESTS[asked["do"]](asked)), flush=True)  # noqa: T201 - its answer
