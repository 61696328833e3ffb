"""Enhanced status codes for replies that have none."""

import pytest

from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.status_codes import is_status, status_of, status_of_code


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (250, "2.0.0"),
        (251, "2.0.0"),
        (421, "4.3.2"),
        (450, "4.0.0"),
        (451, "4.3.0"),
        (452, "4.3.1"),
        (499, "4.0.0"),
        (500, "5.5.2"),
        (503, "5.5.1"),
        (530, "5.7.0"),
        (550, "5.0.0"),
        (553, "5.1.3"),
        (554, "5.0.0"),
        (556, "5.1.10"),
        (599, "5.0.0"),
    ],
)
def test_a_code_has_the_status_it_surely_means(code: int, status: str) -> None:
    """RFC 5248 §2.4, RFC 3461 §6.3."""
    assert status_of_code(code) == status


@pytest.mark.parametrize("code", [354, 399, 600, 99])
def test_a_code_that_says_nothing_final_is_transient(code: int) -> None:
    assert status_of_code(code) == "4.0.0"


@pytest.mark.parametrize("code", range(200, 600))
def test_a_status_never_contradicts_its_code(code: int) -> None:
    """RFC 2034 §4."""
    status = status_of_code(code)
    assert is_status(status)
    assert status[0] == (str(code)[0] if code // 100 in (2, 4, 5) else "4")


def test_a_replys_own_status_goes_first() -> None:
    assert status_of(Reply(550, ("no",), "5.1.1")) == "5.1.1"
    assert status_of(Reply(550, ("no",))) == "5.0.0"


@pytest.mark.parametrize(
    "text", ["", "5.1", "5.1.1.1", "3.1.1", "5.01.1", "5.1.1000", "5.1.1 ", "5.1.1\n", "x5.1.1"]
)
def test_what_is_not_a_status_is_not_taken_for_one(text: str) -> None:
    """RFC 3464 §2.3.4."""
    assert not is_status(text)
