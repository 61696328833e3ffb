"""The settings of notifications to senders: bounces, delays, reports of success.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import MIB, Bytes


class DoubleBounces(StrEnum):
    """What becomes of a notification that cannot be delivered itself."""

    DROP = "drop"
    POSTMASTER = "postmaster"


@dataclass(frozen=True, slots=True)
class BounceSection:
    """What senders are told of mail that was not delivered, or waits, or arrived."""

    templates: Path | None = None
    """A folder with texts of your own: `failed.txt`, `delayed.txt`, `delivered.txt`, `relayed.txt`,
    `expanded.txt`, and `causes.txt`. What is not there is said in our words. They are read when the
    node starts or reloads; `letterlock queue bounce-text` shows what they give."""

    max_returned: Annotated[int, Bytes(0, 10 * MIB)] = 50_000
    """A message up to this size goes back as a whole when it cannot be delivered; of a larger one
    its header only. `0`: always the header only, so that nobody can use us to send something to a
    sender that was forged."""

    double_bounces: DoubleBounces = DoubleBounces.DROP
    """What becomes of a notification that cannot be delivered itself: `drop` writes a line in the
    log; `postmaster` tells our postmaster too."""
