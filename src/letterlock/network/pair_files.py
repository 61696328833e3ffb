"""Where the certificates that we serve come from: files that are watched, and a listing of pairs.

Thousands of files can't be looked at every few seconds, so where a program writes them for us they
are listed by what knows cheaply whether anything changed (`storage.certificate_files`).
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import FileStamp, find_stamp
from letterlock.network.served_pairs import PairLoader, ServedPair

PairPaths = tuple[Path, Path]
"""Of a chain, leaf first, and of the leaf's key: PEM."""


class PairSource(Protocol):
    """Lists pairs that come and go."""

    def find_pairs(self) -> Mapping[str, PairPaths] | None:
        """Give all there are, each under a name of its own; None: the same as at the last call.

        Files once listed don't change: a new pair under the same name has other paths.
        """


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a look at the files gave.

    Chains loaded anew, names under which a source lists no pair any more, and one line for each
    pair that couldn't be loaded: it stays as it was and is tried again.
    """

    loaded: tuple[Path, ...] = ()
    faults: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def has_changes(self) -> bool:
        return bool(self.loaded or self.removed)


class WatchedPairs:
    """Pairs at fixed paths, whose content is changed by others, certbot for one."""

    def __init__(self, files: Sequence[PairPaths], loader: PairLoader) -> None:
        """Load each; raises LocalError for the first that can't be used."""
        self._files = [(Path(certificate), Path(key)) for certificate, key in files]
        self._loader = loader
        self._stamps = [_find_stamps(paths) for paths in self._files]
        self.pairs = [loader.load(*paths, is_tried=True) for paths in self._files]

    def reload(self) -> ReloadResult:
        """Load what changed.

        A certificate that came before its key doesn't match it: that is a fault until the key
        comes. The same for a link that is being put in another's place.
        """
        loaded: list[Path] = []
        faults: list[str] = []
        for index, paths in enumerate(self._files):
            stamps = _find_stamps(paths)
            if stamps == self._stamps[index]:
                continue
            try:
                self.pairs[index] = self._loader.load(*paths, is_tried=True)
            except LocalError as error:
                faults.append(str(error))
            else:
                self._stamps[index] = stamps
                loaded.append(paths[0])
        return ReloadResult(tuple(loaded), tuple(faults))


class ListedPairs:
    """Pairs of a source. One that can't be loaded keeps no other back, at the start neither."""

    def __init__(self, source: PairSource, loader: PairLoader) -> None:
        self._source = source
        self._loader = loader
        self._known: dict[str, tuple[PairPaths, ServedPair]] = {}
        self._failed: Mapping[str, PairPaths] = {}
        self.faults = self.reload().faults

    @property
    def pairs(self) -> list[ServedPair]:
        """In the order of their names."""
        return [pair for _, (_, pair) in sorted(self._known.items())]

    def reload(self) -> ReloadResult:
        """Load what is new, and forget what is not there any more."""
        listing = self._source.find_pairs()
        removed: tuple[str, ...] = ()
        if listing is not None:
            removed = tuple(sorted(self._known.keys() - listing.keys()))
            for name in removed:
                del self._known[name]
        with _few_collections():
            return self._load(self._failed if listing is None else listing, removed)

    def _load(self, listing: Mapping[str, PairPaths], removed: tuple[str, ...]) -> ReloadResult:
        loaded: list[Path] = []
        faults: dict[str, str] = {}
        for name, paths in listing.items():
            known = self._known.get(name)
            if known is not None and known[0] == paths:
                continue
            try:
                self._known[name] = paths, self._loader.load(*paths, is_tried=False)
            except LocalError as error:
                faults[name] = str(error)
            else:
                loaded.append(paths[0])
        self._failed = {name: listing[name] for name in faults}
        return ReloadResult(tuple(loaded), tuple(faults.values()), removed)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Keep Python from looking for garbage among thousands of pairs while more are loaded."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _find_stamps(paths: PairPaths) -> tuple[FileStamp | None, FileStamp | None]:
    # Taken before the files are read: a change while we read is seen at the next look.
    return find_stamp(paths[0]), find_stamp(paths[1])
