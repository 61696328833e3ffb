"""What NSEC and NSEC3 records prove: that a name is not there, or has no records of a type.

RFC 4034 §4, §6.1 (NSEC, the order of names), RFC 4035 §5.4, RFC 5155 §8 (NSEC3), RFC 6840 §4.1 (a
zone's cut says nothing of what is below it), RFC 9276 §3.2 (too many iterations). That the records
are signed is for who calls.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1

MAX_ITERATIONS = 150
"""RFC 9276 §3.2: what resolvers take at the most; beyond it a zone is as one that is not signed."""

NS, CNAME, SOA, DNAME, DS = 2, 5, 6, 39, 43

Labels = tuple[bytes, ...]
"""A name from the root downwards, in lower case: then tuples stand in DNSSEC's order (§6.1)."""


@dataclass(frozen=True, slots=True)
class TypeBitmap:
    """RFC 4034 §4.1.2: the types that a name has, as windows of bits."""

    windows: tuple[tuple[int, bytes], ...]

    def __contains__(self, rdtype: int) -> bool:
        window, place = divmod(rdtype, 256)
        return any(
            number == window and place // 8 < len(bits) and bits[place // 8] & (0x80 >> place % 8)
            for number, bits in self.windows
        )

    @property
    def is_cut(self) -> bool:
        """Whether it is the parent's view of a zone's cut."""
        return NS in self and SOA not in self


@dataclass(frozen=True, slots=True)
class Nsec:
    """Between `owner` and `next` there is no name; the last one's next is the zone's origin."""

    owner: Labels
    next: Labels
    types: TypeBitmap

    def covers(self, name: Labels) -> bool:
        """Tell whether a name would stand between the two."""
        return self.owner < name and (name < self.next or self.next <= self.owner)

    def denies_below(self, name: Labels) -> bool:
        """Tell whether it may speak of a name: not from above a cut or a DNAME (RFC 6840 §4.1)."""
        is_above = len(self.owner) < len(name) and name[: len(self.owner)] == self.owner
        return not (is_above and (self.types.is_cut or DNAME in self.types))


@dataclass(frozen=True, slots=True)
class Nsec3:
    """The same for hashes of names, in the zone `zone`."""

    zone: Labels
    owner_hash: bytes
    next_hash: bytes
    types: TypeBitmap
    salt: bytes
    iterations: int
    is_opt_out: bool

    def covers(self, hashed: bytes) -> bool:
        """Tell whether a hash would stand between the two; b"" is of no name of the zone."""
        if not hashed:
            return False
        if self.owner_hash < self.next_hash:
            return self.owner_hash < hashed < self.next_hash
        return hashed > self.owner_hash or hashed < self.next_hash


Denying = Nsec | Nsec3


class TooManyIterationsError(Exception):
    """RFC 9276 §3.2: nobody computes that."""


def make_labels(name: str) -> Labels:
    """Make the labels of a name; `.` has none."""
    text = name.rstrip(".").lower().encode()
    return tuple(reversed(text.split(b"."))) if text else ()


def proves_no_data(name: Labels, rdtype: int, records: Sequence[Denying]) -> bool:
    """Tell whether they prove that a name has no records of a type, nor an alias.

    Raises TooManyIterationsError.
    """
    plain, hashed = _split(records)
    types = find_types(name, records)
    if types is not None:
        return _lacks(types, rdtype)
    for each in plain:
        if each.covers(name) and each.next[: len(name)] == name:
            # Names below it are there, and it has nothing itself.
            return True
    wildcard = find_types((*find_encloser(name, records), b"*"), records)
    if wildcard is not None:
        return _proves_not_there(name, plain, hashed) and _lacks(wildcard, rdtype)
    return rdtype == DS and is_opted_out(name, records)


def proves_no_name(name: Labels, records: Sequence[Denying]) -> bool:
    """Tell whether they prove that neither a name is there nor a wildcard that stands for it.

    Raises TooManyIterationsError.
    """
    plain, hashed = _split(records)
    wildcard = (*find_encloser(name, records), b"*")
    return _proves_not_there(name, plain, hashed) and _covers_any(wildcard, plain, hashed)


def proves_wildcard(name: Labels, labels: int, records: Sequence[Denying]) -> bool:
    """Tell whether nothing closer to a name is there than the wildcard below `labels` labels.

    RFC 4035 §5.3.4, RFC 5155 §8.8. Raises TooManyIterationsError.
    """
    plain, hashed = _split(records)
    if any(each.covers(name) and each.denies_below(name) for each in plain):
        return True
    return any(each.covers(_hash(each, name[: labels + 1])) for each in hashed)


def find_types(name: Labels, records: Sequence[Denying]) -> TypeBitmap | None:
    """Find what a name is said to have; None: nothing is said of it."""
    plain, hashed = _split(records)
    for each in plain:
        if each.owner == name:
            return each.types
    for hashed_record in hashed:
        if hashed_record.owner_hash == _hash(hashed_record, name):
            return hashed_record.types
    return None


def is_opted_out(name: Labels, records: Sequence[Denying]) -> bool:
    """Tell whether unsigned zones may be there that nobody lists (RFC 5155 §6, §8.6)."""
    _, hashed = _split(records)
    encloser = _find_hashed_encloser(name, hashed)
    if encloser is None or len(encloser) == len(name):
        return False
    closer = name[: len(encloser) + 1]
    return any(each.is_opt_out and each.covers(_hash(each, closer)) for each in hashed)


def find_encloser(name: Labels, records: Sequence[Denying]) -> Labels:
    """Find the closest name above a name that they say is there."""
    plain, hashed = _split(records)
    found: Labels = _find_hashed_encloser(name, hashed) or ()
    for each in plain:
        if each.covers(name):
            found = max(found, _common(name, each.owner), _common(name, each.next), key=len)
    return found


def _lacks(types: TypeBitmap, rdtype: int) -> bool:
    if rdtype in types or CNAME in types:
        return False
    # Of the two NSECs at a cut the parent's is for DS, the zone's own for all else.
    return SOA not in types if rdtype == DS else not types.is_cut


def _proves_not_there(name: Labels, plain: Sequence[Nsec], hashed: Sequence[Nsec3]) -> bool:
    for each in plain:
        if each.covers(name) and each.denies_below(name) and each.next[: len(name)] != name:
            return True
    encloser = _find_hashed_encloser(name, hashed)
    if encloser is None or len(encloser) == len(name):
        return False
    closer = name[: len(encloser) + 1]
    return any(each.covers(_hash(each, closer)) for each in hashed)


def _covers_any(name: Labels, plain: Sequence[Nsec], hashed: Sequence[Nsec3]) -> bool:
    is_covered = any(each.covers(name) for each in plain)
    return is_covered or any(each.covers(_hash(each, name)) for each in hashed)


def _find_hashed_encloser(name: Labels, hashed: Sequence[Nsec3]) -> Labels | None:
    """RFC 5155 §8.3: the longest name at or above it whose hash is there, and no cut or DNAME."""
    for length in range(len(name), -1, -1):
        candidate = name[:length]
        for each in hashed:
            if each.owner_hash == _hash(each, candidate):
                is_end = each.types.is_cut or DNAME in each.types
                return None if is_end and length < len(name) else candidate
    return None


def _split(records: Sequence[Denying]) -> tuple[list[Nsec], list[Nsec3]]:
    """Give both kinds. RFC 5155 §8.2: all NSEC3 must have the same parameters."""
    hashed = [each for each in records if isinstance(each, Nsec3)]
    if any(each.iterations > MAX_ITERATIONS for each in hashed):
        raise TooManyIterationsError
    same = [
        each
        for each in hashed
        if (each.salt, each.iterations, each.zone)
        == (hashed[0].salt, hashed[0].iterations, hashed[0].zone)
    ]
    return [each for each in records if isinstance(each, Nsec)], same


def _hash(record: Nsec3, name: Labels) -> bytes:
    """RFC 5155 §5. A name outside the zone has none."""
    if name[: len(record.zone)] != record.zone:
        return b""
    return _digest(b"".join(_to_wire(name)), record.salt, record.iterations)


@lru_cache(maxsize=256)
def _digest(wire: bytes, salt: bytes, iterations: int) -> bytes:
    """Hash a name, which is asked for once for each record that there is."""
    # SHA-1 is what RFC 5155 has; nothing is kept secret by it.
    digest = sha1(wire + salt).digest()  # noqa: S324 - as above
    for _ in range(iterations):
        digest = sha1(digest + salt).digest()  # noqa: S324 - as above
    return digest


def _to_wire(name: Labels) -> Iterator[bytes]:
    for label in reversed(name):
        yield bytes((len(label),)) + label
    yield b"\0"


def _common(first: Labels, second: Labels) -> Labels:
    length = 0
    while length < min(len(first), len(second)) and first[length] == second[length]:
        length += 1
    return first[:length]
