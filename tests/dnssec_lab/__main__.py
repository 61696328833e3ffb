"""Runs the lab by hand: `PYTHONPATH=src python -m tests.dnssec_lab FOLDER [--port 53]`."""

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from tests.dnssec_lab.lab import running_lab
from tests.dnssec_lab.zones import ZONES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="an empty folder for zones, keys and logs")
    parser.add_argument("--port", type=int, help="the resolver's (a free one)")
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    # A shell's background job has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running_lab(folder, port=options.port) as lab:
        host, port = lab.resolver
        lines = [f"READY resolver {host}:{port}; trust anchor {lab.trust_anchor}"]
        lines += [f"    {origin:20} {zone.signing}" for origin, zone in ZONES.items()]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
