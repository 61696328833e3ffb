"""The trust anchors that chains are judged against: files, read again when they change.

A file that can't be read makes the requirement that names it unusable: mail for it waits
(4.7.5), and other mail goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from letterlock.network.client_contexts import system_trust_file
from letterlock.protocols.pki.anchors import AnchorsError, TrustAnchors

CHECK_SECONDS = 1.0
"""How long a file is taken to be unchanged."""
NO_ANCHORS = TrustAnchors([])
"""Trusts nobody: where there is no system store, everything is untrusted, and said to be."""


@dataclass(frozen=True, slots=True)
class AnchorsUnusable:
    """Why a trust file cannot be used: one line with its path."""

    reason: str


class AnchorFiles:
    """Gives trust anchors by file names. `defaults`: the operator's files, else the system's.

    `monotonic` gives seconds; without it files are looked at each time.
    """

    def __init__(
        self, defaults: Sequence[Path] = (), monotonic: Callable[[], float] | None = None
    ) -> None:
        system = system_trust_file()
        self._defaults = tuple(defaults) or ((system,) if system else ())
        self._monotonic = monotonic
        self._checked: dict[tuple[str, ...], tuple[float, TrustAnchors | AnchorsUnusable]] = {}
        self._loaded: dict[tuple[Path, ...], tuple[tuple[int, ...], TrustAnchors]] = {}

    def load(self, files: Sequence[str] = ()) -> TrustAnchors | AnchorsUnusable:
        """Give the anchors in `files`, which replace the default ones when there are any."""
        if self._monotonic is None:
            return self._load(files)
        key, now = tuple(files), self._monotonic()
        until, anchors = self._checked.get(key, (now, NO_ANCHORS))
        if until <= now:
            anchors = self._load(files)
            self._checked[key] = (now + CHECK_SECONDS, anchors)
        return anchors

    def _load(self, files: Sequence[str]) -> TrustAnchors | AnchorsUnusable:
        paths = tuple(Path(name) for name in files) or self._defaults
        if not paths:
            return NO_ANCHORS
        path = paths[0]
        try:
            stamps = tuple((path := item).stat().st_mtime_ns for item in paths)
            known = self._loaded.get(paths)
            if known is not None and known[0] == stamps:
                return known[1]
            pem = b"\n".join((path := item).read_bytes() for item in paths)
            anchors = TrustAnchors.from_pem(pem, is_tafile=bool(files))
        except OSError as error:
            return AnchorsUnusable(f"{path}: {error.strerror}")
        except AnchorsError as error:
            return AnchorsUnusable(f"{', '.join(map(str, paths))}: {error}")
        self._loaded[paths] = (stamps, anchors)
        return anchors
