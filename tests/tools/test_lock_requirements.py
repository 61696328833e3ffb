"""What pip is told to install is what the lock file lists, under its markers, with its hashes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.lock_requirements import LockError, format_requirements

ROOT = Path(__file__).resolve().parent.parent.parent


def package(name: str, *dependencies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0",
        "source": {"registry": "https://pypi.org/simple"},
        "wheels": [{"url": f"{name}.whl", "hash": f"sha256:{name}"}],
        "dependencies": list(dependencies),
        **more,
    }


def project(*dependencies: dict[str, Any], **more: Any) -> dict[str, Any]:
    return package("project", *dependencies, source={"editable": "."}, **more)


def requirements(*packages: dict[str, Any]) -> list[str]:
    text = format_requirements({"package": list(packages)})
    return text.replace(" \\\n    ", " ").splitlines()


def test_a_dependency_of_a_dependency_is_listed_with_its_hash() -> None:
    lines = requirements(
        project({"name": "a"}), package("a", {"name": "b"}), package("b"), package("unused")
    )
    assert lines == ["a==1.0 --hash=sha256:a", "b==1.0 --hash=sha256:b"]


def test_extras_and_groups_of_the_project_are_listed() -> None:
    lines = requirements(
        project(
            **{
                "optional-dependencies": {"cluster": [{"name": "a"}]},
                "dev-dependencies": {"dev": [{"name": "b"}]},
            }
        ),
        package("a"),
        package("b"),
    )
    assert [line.partition("==")[0] for line in lines] == ["a", "b"]


def test_an_extra_of_a_dependency_is_listed_only_where_it_is_asked_for() -> None:
    extra = {"optional-dependencies": {"fast": [{"name": "b"}]}}
    asked = requirements(
        project({"name": "a", "extra": ["fast"]}), package("a", **extra), package("b")
    )
    plain = requirements(project({"name": "a"}), package("a", **extra), package("b"))
    assert [len(asked), len(plain)] == [2, 1]


def test_markers_on_the_way_must_all_hold() -> None:
    lines = requirements(
        project({"name": "a", "marker": "os == 'x'"}),
        package("a", {"name": "b", "marker": "py < '3'"}),
        package("b"),
    )
    assert lines[1] == "b==1.0 ; (os == 'x') and (py < '3') --hash=sha256:b"


def test_of_two_ways_to_a_package_one_is_enough() -> None:
    lines = requirements(
        project({"name": "a", "marker": "os == 'x'"}, {"name": "b", "marker": "os == 'y'"}),
        package("a", {"name": "b"}),
        package("b"),
    )
    assert lines[1] == "b==1.0 ; (os == 'x') or (os == 'y') --hash=sha256:b"


def test_a_way_without_markers_makes_the_others_needless() -> None:
    for dependencies in (
        [{"name": "a"}, {"name": "b", "marker": "os == 'y'"}],
        [{"name": "b", "marker": "os == 'y'"}, {"name": "a"}],
    ):
        lines = requirements(project(*dependencies), package("a", {"name": "b"}), package("b"))
        assert lines[1] == "b==1.0 --hash=sha256:b"


def test_packages_that_need_each_other_end() -> None:
    lines = requirements(
        project({"name": "a"}),
        package("a", {"name": "b", "extra": ["x"], "marker": "os == 'x'"}),
        package("b", **{"optional-dependencies": {"x": [{"name": "a", "extra": ["x"]}]}}),
    )
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        ([package("a"), package("a")], "two versions"),
        ([package("a", wheels=[])], "no wheel"),
        ([package("a", source={"git": "https://example.org"})], "not from a package index"),
    ],
)
def test_what_cannot_be_pinned_as_a_wheel_is_refused(
    packages: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(LockError, match=reason):
        requirements(project({"name": "a"}), *packages)


def test_the_lock_file_of_this_repository_is_read_whole() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    text = format_requirements(lock)
    listed = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    assert listed == {package["name"] for package in lock["package"]} - {"letterlock"}
    assert "://" not in text
