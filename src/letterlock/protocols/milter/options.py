"""What both sides agree on before anything else: what the filter may do, what it wants to see.

SMFIC_OPTNEG of libmilter, versions 2 to 6: version, actions (SMFIF_*), steps (SMFIP_*), each a
number of four octets; from version 6 on lists of macros may follow.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag

from msgspec import Struct, field

from letterlock.protocols.milter.packets import Violation, format_packet

VERSION = 6
OLDEST_VERSION = 2
NEGOTIATE = b"O"
_NUMBERS_OCTETS = 12
MAX_MACROS = 100
"""Of one list."""


class Actions(IntFlag):
    """What a filter may do to a message: SMFIF_*."""

    ADD_FIELDS = 0x001
    CHANGE_BODY = 0x002
    ADD_RECIPIENTS = 0x004
    REMOVE_RECIPIENTS = 0x008
    CHANGE_FIELDS = 0x010
    QUARANTINE = 0x020
    CHANGE_SENDER = 0x040
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x080
    SET_MACROS = 0x100


class Steps(IntFlag):
    """What a filter leaves out, does not answer, or understands: SMFIP_*."""

    NO_CONNECT = 0x000001
    NO_HELO = 0x000002
    NO_MAIL = 0x000004
    NO_RCPT = 0x000008
    NO_BODY = 0x000010
    NO_FIELDS = 0x000020
    NO_END_OF_HEADER = 0x000040
    SILENT_FIELD = 0x000080
    NO_UNKNOWN = 0x000100
    NO_DATA = 0x000200
    SKIP = 0x000400
    REFUSED_RECIPIENTS = 0x000800
    SILENT_CONNECT = 0x001000
    SILENT_HELO = 0x002000
    SILENT_MAIL = 0x004000
    SILENT_RCPT = 0x008000
    SILENT_DATA = 0x010000
    SILENT_UNKNOWN = 0x020000
    SILENT_END_OF_HEADER = 0x040000
    SILENT_BODY = 0x080000
    LEADING_SPACE = 0x100000


ALL_ACTIONS = Actions(0x1FF)
OFFERED_STEPS = Steps(0x1FFFFF) & ~Steps.REFUSED_RECIPIENTS
"""All but one: a filter is not told of recipients that we refuse."""

# What each version of the protocol knows: a filter that speaks an older one is bound by it.
_STEPS_OF_VERSION = {2: Steps(0x7F), 3: Steps(0x17F), 4: Steps(0x3FF), 5: Steps(0x3FF)}
_ACTIONS_OF_VERSION = {2: Actions(0x3F), 3: Actions(0x3F), 4: Actions(0x3F), 5: Actions(0x3F)}


class Stage(IntEnum):
    """The stages that have macros: SMFIM_*."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END_OF_MESSAGE = 5
    END_OF_HEADER = 6


class Options(Struct, frozen=True):
    """What was agreed on. `macros` has the stages for which the filter named those it wants."""

    version: int
    actions: Actions
    steps: Steps
    macros: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict)


def format_offer() -> bytes:
    """Say what we offer: the first packet of a connection."""
    numbers = (VERSION, ALL_ACTIONS, OFFERED_STEPS)
    return format_packet(NEGOTIATE, b"".join(number.to_bytes(4, "big") for number in numbers))


def parse_options(content: bytes) -> Options | Violation:
    """Read the filter's answer to our offer."""
    if len(content) < _NUMBERS_OCTETS:
        return Violation("its answer to the negotiation is too short")
    version, actions, steps = (
        int.from_bytes(content[start : start + 4], "big") for start in (0, 4, 8)
    )
    if not OLDEST_VERSION <= version <= VERSION:
        return Violation(f"it speaks version {version} of the protocol")
    # As numbers: to a flag only the bits that have names are there.
    for what, asked, offered in (
        ("steps", steps, int(OFFERED_STEPS)),
        ("actions", actions, int(ALL_ACTIONS)),
    ):
        if foreign := asked & ~offered:
            return Violation(f"it asks for {what} that we do not offer (0x{foreign:x})")
    macros = _parse_macro_lists(content[_NUMBERS_OCTETS:]) if version >= VERSION else {}
    if isinstance(macros, Violation):
        return macros
    return Options(
        version,
        Actions(actions) & _ACTIONS_OF_VERSION.get(version, ALL_ACTIONS),
        Steps(steps) & _STEPS_OF_VERSION.get(version, OFFERED_STEPS),
        macros,
    )


def _parse_macro_lists(content: bytes) -> dict[Stage, tuple[str, ...]] | Violation:
    """Read the lists of SMFIF_SETSYMLIST: a stage's number, then names between spaces, a NUL."""
    found: dict[Stage, tuple[str, ...]] = {}
    while content:
        end = content.find(b"\0", 4)
        if end < 0:
            return Violation("its lists of macros cannot be read")
        number = int.from_bytes(content[:4], "big")
        names = content[4:end].decode("ascii", "replace").split()
        if number not in set(Stage) or len(names) > MAX_MACROS:
            return Violation("its lists of macros cannot be read")
        found[Stage(number)] = tuple(names)
        content = content[end + 1 :]
    return found
