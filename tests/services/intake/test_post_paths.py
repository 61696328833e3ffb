"""Where reports are posted: nobody guesses the path, and each domain has its own."""

import pytest

from letterlock.base.domains import Domain
from letterlock.services.intake.post_paths import (
    MAX_KEYS,
    MIN_KEY_CHARACTERS,
    KeyFileError,
    PostPaths,
    make_path,
    take_keys,
)

KEY, OLD = b"k" * MIN_KEY_CHARACTERS, b"o" * MIN_KEY_CHARACTERS
ONE, OTHER = Domain("one.example"), Domain("other.example")
PATHS = PostPaths((KEY, OLD), (ONE, OTHER))


def test_each_domain_has_a_path_of_its_own() -> None:
    path = make_path(KEY, ONE)
    assert path == "/tlsrpt/one.example/4d445cd171d5dd2eaf3ad6de13acb407"
    assert PATHS.find(path) == ONE
    assert PATHS.find(make_path(KEY, OTHER)) == OTHER
    assert PATHS.find(path.replace("one", "other")) is None


def test_paths_of_older_keys_are_still_taken() -> None:
    assert make_path(OLD, ONE) != make_path(KEY, ONE)
    assert PATHS.find(make_path(OLD, ONE)) == ONE
    assert PostPaths((KEY,), (ONE,)).find(make_path(OLD, ONE)) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/tlsrpt/",
        "/tlsrpt/one.example",
        "/tlsrpt/one.example/",
        "/tlsrpt/third.example/",
        make_path(KEY, Domain("third.example")),
        make_path(KEY, ONE)[:-1],
        make_path(KEY, ONE) + "/",
        make_path(KEY, ONE).upper(),
        make_path(KEY, ONE).replace("/tlsrpt/", "/tlsrpt//"),
        "/tlsrpt/one.example/\xe4\ud800",
    ],
)
def test_any_other_path_is_nobodys(path: str) -> None:
    assert PATHS.find(path) is None


def test_keys_are_lines() -> None:
    text = f"# in use\n{KEY.decode()}\n\n  {OLD.decode()}  \n"
    assert take_keys(text) == (KEY, OLD)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no key"),
        ("# nothing\n", "no key"),
        ("short\n", f"{MIN_KEY_CHARACTERS} characters"),
        (f"{KEY.decode()}\n" * (MAX_KEYS + 1), "more than"),
    ],
)
def test_keys_that_are_none_are_refused(text: str, reason: str) -> None:
    with pytest.raises(KeyFileError, match=reason):
        take_keys(text)
