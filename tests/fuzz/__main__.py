"""`make fuzz`: run fuzz targets one after the other, and say what they found.

`ARGS="--seconds 60 smtp-session"`; without names all of them. With Atheris where it can be had,
else by chance alone. A finding is kept in `.fuzz/NAME`, and repeated with `--replay FILE NAME`.
"""

import argparse
import hashlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.guidance import KEPT, is_here, run_guided
from tests.fuzz.mutator import Finding, check, run_target
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def main(arguments: Sequence[str]) -> int:
    """Run the targets; gives 1 when one of them found something."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzz Letterlock's parsers.")
    parser.add_argument("targets", nargs="*", metavar="NAME", choices=[[], *TARGETS])
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same chances (0)")
    parser.add_argument("--by-chance", action="store_true", help="also where Atheris is there")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give one input to the targets")
    parser.add_argument("--list", action="store_true", help="say what there is, and what it checks")
    given = parser.parse_args(arguments)
    chosen = [TARGETS[name] for name in given.targets or TARGETS]
    if given.list:
        for target in chosen:
            print(f"{target.name:24}{_first_line(target)}")
        return 0
    if given.replay:
        return _replay(chosen, given.replay.read_bytes())
    is_guided = is_here() and not given.by_chance
    print("guided by coverage" if is_guided else "by chance, without Atheris", flush=True)
    run = run_guided if is_guided else _run_by_chance
    findings = 0
    for target, found in run(chosen, seconds=given.seconds, seed=given.seed):
        findings += found is not None
        said = "ok" if found is None else f"FOUND, kept in {KEPT / target.name}\n{found}"
        print(f"{target.name:24}{said}", flush=True)
    return 1 if findings else 0


def _run_by_chance(
    targets: Sequence[Target], *, seconds: float, seed: int
) -> Iterator[tuple[Target, str | None]]:
    for target in targets:
        try:
            run_target(target, seconds=seconds, seed=seed)
        except Finding as finding:
            folder = KEPT / target.name
            folder.mkdir(parents=True, exist_ok=True)
            name = f"crash-{hashlib.sha1(finding.octets).hexdigest()}"
            (folder / name).write_bytes(finding.octets)
            yield target, f"{name}\n{_explain(finding)}"
        else:
            yield target, None


def _replay(targets: Sequence[Target], octets: bytes) -> int:
    for target in targets:
        try:
            check(target, octets)
        except Finding as finding:
            print(f"{target.name}: {_explain(finding)}")
            return 1
        print(f"{target.name}: ok")
    return 0


def _explain(finding: Finding) -> str:
    cause = finding.__cause__
    assert cause is not None
    return "".join(traceback.format_exception(cause))


def _first_line(target: Target) -> str:
    return (target.check.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
