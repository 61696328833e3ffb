"""DKIM signatures a second, beside dkimpy's: one message of 2 kB, canonicalisation included.

Seconds are of the CPU, on one core; both sides sign the same message in turn, round by round.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.protocols.dkim.canonical import BodyHash
from letterlock.protocols.dkim.fields import split_fields
from letterlock.protocols.dkim.results import DkimResult
from letterlock.protocols.dkim.signing import (
    BODY_FORM,
    SigningKey,
    plan_signature,
    select_fields,
)
from letterlock.protocols.dkim.verifying import Verifier
from tests.interop.dkimpy import (
    Dkimpy,
    describe_signing,
    describe_verifying,
    is_here,
    running_dkimpy,
)

MIN_SIGNATURES = 1000.0
BODY_OCTETS = 2048

_NOW = SystemClock().now()
_HEADER = (
    b"Received: from client.example.org (client.example.org [192.0.2.1])\r\n"
    b"\tby mx1.example.org (Letterlock) with ESMTPS id 5XK8T2V9QW7R\r\n"
    b"\tfor <somebody@example.net>; Sun, 01 Mar 2026 10:00:00 +0000\r\n"
    b"Date: Sun, 01 Mar 2026 10:00:00 +0000\r\n"
    b"From: Somebody Else <somebody@example.org>\r\n"
    b"To: Somebody <somebody@example.net>, another@example.com\r\n"
    b"Subject: A subject that is neither long nor short,\r\n but folded\r\n"
    b"Message-ID: <20260301100000.abcdefghijklmnopqrstuvwx@example.org>\r\n"
    b"In-Reply-To: <20260228100000.abcdefghijklmnopqrstuvwx@example.net>\r\n"
    b"User-Agent: Mutt/2.2.12\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
)
_LINE = b"Words and words, with a comma, and then  two spaces and a full stop. \r\n"
_BODY = (_LINE * (BODY_OCTETS // len(_LINE) + 1))[: BODY_OCTETS - 2] + b"\r\n"
_MESSAGE = _HEADER + b"\r\n" + _BODY
_NAMES = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")


@dataclass(frozen=True, slots=True)
class Contest:
    """One thing that is measured. `theirs`: what dkimpy is asked, None for nothing.

    `least` is how many a second there must be.
    """

    title: str
    ours: Callable[[], object]
    theirs: Mapping[str, Any] | None
    times: int
    least: float | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    print(
        f"DKIM: {os.cpu_count()} cores, Python {platform.python_version()}, message of "
        f"{len(_MESSAGE)} octets, medians of {options.rounds} rounds, "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )
    with _rival() as rival:
        for contest in _list_contests():
            print(_run(contest, options.rounds, rival))


def _list_contests() -> Iterator[Contest]:
    rsa_key = generate_private_key(65537, 2048)
    rsa = _make_key(rsa_key, "rsa")
    ed25519 = _make_key(Ed25519PrivateKey.generate(), "ed25519")
    # The bound that nobody gets over: it differs between machines, and with what else they do.
    alone = partial(rsa_key.sign, bytes(32), PKCS1v15(), Prehashed(SHA256()))
    yield Contest("RSA-2048 alone", alone, None, 200)
    asked = describe_signing(rsa, _MESSAGE, _NAMES)
    yield Contest("sign RSA-2048", partial(sign, rsa), asked, 200, MIN_SIGNATURES)
    yield Contest("sign both, one pass", partial(sign, rsa, ed25519), None, 200)
    asked = describe_signing(ed25519, _MESSAGE, _NAMES)
    yield Contest("sign Ed25519", partial(sign, ed25519), asked, 500)
    for key, title in ((rsa, "RSA-2048"), (ed25519, "Ed25519")):
        header = sign(key) + _HEADER
        name = f"{key.selector}._domainkey.{key.domain}"
        asked = describe_verifying(header + b"\r\n" + _BODY, {name: key.record})
        ours = partial(verify, header, name, key.record.encode())
        yield Contest(f"verify {title}", ours, asked, 500)


def sign(*keys: SigningKey) -> bytes:
    """Sign the message by each key, as a node does."""
    body = BodyHash(BODY_FORM)
    body.receive(_BODY)
    fields = select_fields(split_fields(_HEADER))
    digest = body.finish()
    return b"".join(plan_signature(key, fields, _NOW).make(digest) for key in keys)


def verify(header: bytes, name: str, record: bytes) -> None:
    """Verify the message's one signature."""
    verifier = Verifier(header, _NOW)
    verifier.receive(_BODY)
    (result,) = verifier.finish({Domain(name): (record,)})
    assert result.result is DkimResult.PASS, result


def _run(contest: Contest, rounds: int, rival: Dkimpy | None) -> str:
    """Measure in turn; the ratio is the median of those of the rounds."""
    ours, ratios, theirs = [], [], []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(contest.times):
            contest.ours()
        ours.append(contest.times / (time.process_time() - start))
        if rival is not None and contest.theirs is not None:
            times = max(1, contest.times // 10)
            request = {"do": "measure", "what": contest.theirs, "times": times}
            theirs.append(times / rival.ask(request)["seconds"])
            ratios.append(ours[-1] / theirs[-1])
    line = f"{contest.title:<22}{median(ours):8.0f}/s"
    if contest.least is not None:
        verdict = "met" if median(ours) >= contest.least else "MISSED"
        line += f" at least {contest.least:.0f}: {verdict}"
    if ratios:
        line += f"   dkimpy {median(theirs):6.0f}/s   ratio {median(ratios):6.1f}"
    return line


def _make_key(key: Any, selector: str) -> SigningKey:
    return SigningKey(Domain("example.org"), Domain(selector), key)


@contextmanager
def _rival() -> Iterator[Dkimpy | None]:
    if not is_here():
        print("dkimpy is not there (`make dkimpy`): nothing beside us is measured")
        yield None
        return
    with running_dkimpy() as dkimpy:
        yield dkimpy


if __name__ == "__main__":
    main()
