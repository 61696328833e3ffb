"""What each probe of `letterlock check` was: when, how long its steps took, and what was said.

And the keys of the JSON for probes. What is put together here was made printable by the probe, and
is made so once more where it is shown.
"""

from collections.abc import Iterator

from letterlock.cli.story_text import Document

_PROBES = "hosts[].addresses[].probes[]"
PROBE_KEYS = {
    f"{_PROBES}.asked": "own (as a correct sender does), none or wrong",
    f"{_PROBES}.sni": "the server name that was sent, or null",
    f"{_PROBES}.key": "ECDSA or RSA where only that was taken, or null",
    f"{_PROBES}.state": "as of the address",
    f"{_PROBES}.detail": "what came of it, in one line",
    f"{_PROBES}.starttls": "whether STARTTLS was offered",
    f"{_PROBES}.requiretls": "whether REQUIRETLS was offered under TLS",
    f"{_PROBES}.handshake": "a handshake; null: it did not come so far",
    f"{_PROBES}.unoffered": "the handshake of STARTTLS that was not offered, and taken; or null",
    f"{_PROBES}.begun": "when it began; null: it was not made",
    f"{_PROBES}.times": "seconds by step, of those that it came to: connect, banner, ehlo, "
    "starttls, handshake, ehlo-under-tls",
    f"{_PROBES}.transcript[]": "what was said: > by us, < by the host, ! besides",
}
_ASKED = {"own": "with its name", "none": "without SNI", "wrong": "with an unknown name"}


def describe_asked(probe: Document) -> str:
    """Say how it was asked: with which name, for which key."""
    return " ".join(filter(None, (_ASKED.get(probe["asked"], ""), probe["key"])))


def describe_course(probe: Document) -> str | None:
    """Say when a probe began and how long its steps took; None: it was not made, or is not known.

    A run that goes on (`--resume`) may have documents of a release before, without these.
    """
    begun = probe.get("begun")
    if begun is None:
        return None
    times = ", ".join(f"{step} {_show(seconds)}" for step, seconds in probe["times"].items())
    return f"{describe_asked(probe)}, at {begun}: {times}"


def list_said(address: Document) -> Iterator[tuple[str, list[str]]]:
    """Give of each probe that was made when and how long, and the lines that were said."""
    for probe in address["probes"]:
        course = describe_course(probe)
        if course is not None:
            yield course, probe["transcript"]


def _show(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
