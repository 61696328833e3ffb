"""What linting said of a draft, as it is kept with a certificate; `linting` makes it.

Apart from it, since who only reads records does not load a linter.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LintRecord:
    """What linting said. With a fault the certificate must not be signed.

    `faults` and `excused` are lines, `excused` with its reason. `shape` is the certificate's, in
    hexadecimal, None where it has none; `is_remembered`: another one of that shape was linted.
    """

    faults: tuple[str, ...]
    excused: tuple[str, ...]
    linter: str
    """Its name and version."""
    shape: str | None = None
    is_remembered: bool = False
