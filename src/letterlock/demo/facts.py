"""What happened, read from the queue's story of an attempt, from DNS answers and from a mailbox."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from letterlock.protocols.dns.answers import Answer, MxRecord, Record
from letterlock.storage.queue import AttemptRecord

MAX_HEADER_OCTETS = 64 * 1024
_JUDGED = "! TLS"
"""How the dialogue notes what was found of the handshake (`network.smtp_client`)."""
_MAIL = "> MAIL"
_DIGEST = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. What it did not come to is empty, or None."""

    record: AttemptRecord

    @property
    def requirement(self) -> Mapping[str, Any]:
        return self.record.story.get("requirement") or {}

    @property
    def handshake(self) -> Mapping[str, Any]:
        return self.record.story.get("handshake") or {}

    @property
    def verdict(self) -> Mapping[str, Any]:
        return self.record.story.get("verdict") or {}

    @property
    def dialogue(self) -> Sequence[str]:
        return self.record.story.get("dialogue") or ()

    @property
    def leaf(self) -> Mapping[str, Any]:
        """The host's own certificate."""
        return next(iter(self.handshake.get("chain") or ()), {})

    @property
    def said_before_mail(self) -> Sequence[str]:
        """The dialogue up to MAIL, or all of it."""
        return list(takewhile(lambda line: not line.startswith(_MAIL), self.dialogue))

    @property
    def said_from_mail(self) -> Sequence[str]:
        """The dialogue from MAIL on; empty when nothing was to be sent."""
        return self.dialogue[len(self.said_before_mail) :]

    @property
    def is_judged_before_mail(self) -> bool:
        """The handshake was judged, and no MAIL was said before that."""
        return any(line.startswith(_JUDGED) for line in self.said_before_mail)


def describe_answer(answer: Answer) -> str:
    """Write a DNS answer as one line, with its DNSSEC state."""
    records = [_describe_record(record) for record in answer.records]
    found = ", ".join(records) or answer.reason or answer.existence.value
    return shorten_digests(f"{answer.rdtype} {answer.name}: {found} ({answer.security})")


def shorten_digests(text: str) -> str:
    """Cut SHA-256 digests to what eyes can compare."""
    return _DIGEST.sub(r"\1...", text)


def read_trace(message: Path) -> list[str]:
    """Read the lines of a message in a mailbox that servers put above it (RFC 5321 §4.4)."""
    with message.open("rb") as file:
        header = file.read(MAX_HEADER_OCTETS).decode("utf-8", "replace")
    lines = []
    for line in header.splitlines():
        is_folded = line.startswith((" ", "\t"))
        if not is_folded and not line.startswith(("Return-Path:", "Delivered-To:", "Received:")):
            break
        lines.append(line.expandtabs(2))
    return lines


def find_last_hop(trace: Sequence[str]) -> str:
    """Find what the server that had the message last says of it: the first Received, unfolded."""
    fields = " ".join(" ".join(trace).split()).split("Received: ")
    return f"Received: {fields[1].rstrip()}" if len(fields) > 1 else ""


def count_hops(trace: Sequence[str]) -> tuple[int, int]:
    """Count the hops in trace lines: those over TLS (ESMTPS, RFC 3848), and all."""
    text = "\n".join(trace)
    return text.count(" with ESMTPS "), sum(line.startswith("Received:") for line in trace)


def _describe_record(record: Record) -> str:
    match record:
        case MxRecord():
            return f"{record.preference} {record.exchange}"
        case bytes():
            return record.decode("utf-8", "replace")
        case _:
            return str(record)
