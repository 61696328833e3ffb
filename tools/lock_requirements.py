"""Print what `uv.lock` pins as requirements for pip: wheels only, each with its hashes.

With it pip alone can build the environment, from whatever package index the user has set: the
output has no addresses. Standard library only: it runs before there is an environment.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Package = dict[str, Any]
Condition = frozenset[str]
"""Markers that must all hold; the empty one always does."""


class LockError(ValueError):
    """The lock file has something that this reader does not know."""


def format_requirements(lock: dict[str, Any]) -> str:
    """Format the project's dependencies, its extras and its dev group, with all that they need.

    Raises LockError for a package in two versions, without wheels, or not from an index.
    """
    packages = _by_name(lock["package"])
    conditions = _find_conditions(packages)
    return "".join(
        f"{_format_requirement(packages[name], conditions[name])}\n" for name in sorted(conditions)
    )


def _by_name(packages: list[Package]) -> dict[str, Package]:
    by_name: dict[str, Package] = {}
    for package in packages:
        if package["name"] in by_name:
            raise LockError(f"{package['name']} is locked in two versions")
        by_name[package["name"]] = package
    return by_name


def _find_conditions(packages: dict[str, Package]) -> dict[str, set[Condition]]:
    """Find under which markers each package is wanted: when one of several conditions holds.

    Walks from the project along every dependency until nothing is added. A condition that demands
    more than another one for the same package adds nothing.
    """
    project = next(name for name, package in packages.items() if _is_the_project(package))
    reached: dict[tuple[str, str], set[Condition]] = {}
    waiting: list[tuple[str, str, Condition]] = [(project, "*", frozenset())]
    while waiting:
        name, extra, condition = waiting.pop()
        known = reached.setdefault((name, extra), set())
        if any(other <= condition for other in known):
            continue
        known.difference_update({other for other in known if condition <= other})
        known.add(condition)
        for dependency in _dependencies(packages[name], extra):
            marker = {dependency["marker"]} if "marker" in dependency else set()
            waiting += [
                (dependency["name"], wanted, condition | marker)
                for wanted in ("", *dependency.get("extra", []))
            ]
    return {name: conditions for (name, extra), conditions in reached.items() if not extra}


def _dependencies(package: Package, extra: str) -> Iterator[Package]:
    """Give a package's plain dependencies (""), those of one extra, or all of them ("*")."""
    if extra in {"", "*"}:
        yield from package.get("dependencies", [])
    groups = {**package.get("optional-dependencies", {}), **package.get("dev-dependencies", {})}
    for name, dependencies in groups.items():
        if extra in {name, "*"}:
            yield from dependencies


def _format_requirement(package: Package, conditions: set[Condition]) -> str:
    name = package["name"]
    if "registry" not in package["source"]:
        raise LockError(f"{name} is not from a package index")
    hashes = [wheel["hash"] for wheel in package.get("wheels", [])]
    if not hashes:
        raise LockError(f"{name} has no wheel")
    marker = _format_marker(conditions)
    return f"{name}=={package['version']}{marker} \\\n    " + " \\\n    ".join(
        f"--hash={digest}" for digest in hashes
    )


def _format_marker(conditions: set[Condition]) -> str:
    if frozenset() in conditions:
        return ""
    choices = (" and ".join(f"({marker})" for marker in sorted(every)) for every in conditions)
    return " ; " + " or ".join(sorted(choices))


def _is_the_project(package: Package) -> bool:
    return "editable" in package["source"]


if __name__ == "__main__":
    print(format_requirements(tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
