"""RFC 8555 §6.5: nonces are good once, over several processes and without a list of those made."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.jws import NONCE
from letterlock.protocols.acme.server.nonces import (
    LIFETIME,
    SKEW,
    GoodNonce,
    NonceKeys,
    SpentNonces,
    judge_nonce,
    make_nonce,
    refuse_nonce,
)
from letterlock.protocols.acme.server.refusals import Refusal

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
KEYS = NonceKeys((bytes(range(32)),))
CHANCE = st.binary(min_size=16, max_size=16)


def good(text: str, keys: NonceKeys = KEYS, now: datetime = NOW) -> GoodNonce:
    found = judge_nonce(keys, text, now)
    assert isinstance(found, GoodNonce), found
    return found


@given(CHANCE, st.timedeltas(-SKEW, LIFETIME - timedelta(seconds=1)))
def test_a_nonce_is_known_by_any_process_for_its_time(chance: bytes, later: timedelta) -> None:
    """RFC 8555 §6.5: by whoever has the key; their clocks may differ a little."""
    text = make_nonce(KEYS, NOW, chance)
    assert NONCE.match(text.encode())
    assert good(text, now=NOW + later).id == chance


@given(CHANCE, st.integers(0, 49), st.sampled_from("AQgw-_9"))
def test_a_nonce_that_was_changed_is_none_of_ours(chance: bytes, at: int, new: str) -> None:
    """RFC 8555 §6.5.1: unpredictable to anyone besides the server."""
    text = make_nonce(KEYS, NOW, chance)
    at %= len(text)
    changed = text[:at] + new + text[at + 1 :]
    if changed != text:
        assert isinstance(judge_nonce(KEYS, changed, NOW), Refusal)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (NOW + LIFETIME, "too old"),
        (NOW - SKEW - timedelta(seconds=1), "too old"),
    ],
)
def test_a_nonce_of_another_time_is_refused(now: datetime, words: str) -> None:
    refusal = judge_nonce(KEYS, make_nonce(KEYS, NOW, bytes(16)), now)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.problem.type) == (400, "badNonce")
    assert words in refusal.problem.detail


@pytest.mark.parametrize(("text", "kind"), [("AAAA", "badNonce"), ("A=", "malformed")])
def test_what_is_no_nonce(text: str, kind: str) -> None:
    """RFC 8555 §6.5.2: one that is not base64url is malformed."""
    refusal = judge_nonce(KEYS, text, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.problem.type == kind


def test_keys_change_and_old_nonces_stay_good() -> None:
    new = NonceKeys((b"n" * 32, *KEYS.keys))
    assert good(make_nonce(KEYS, NOW, bytes(16)), new).id == bytes(16)
    assert isinstance(judge_nonce(KEYS, make_nonce(new, NOW, bytes(16)), NOW), Refusal)


def test_keys_are_long_and_not_shown() -> None:
    for keys in ((), (b"short",)):
        with pytest.raises(ValueError, match="32 octets"):
            NonceKeys(keys)
    assert "nnn" not in repr(NonceKeys((b"n" * 32,)))
    with pytest.raises(ValueError, match="16 octets"):
        make_nonce(KEYS, NOW, b"short")


def test_a_nonce_is_good_once() -> None:
    """RFC 8555 §6.5."""
    spent = SpentNonces()
    nonce = good(make_nonce(KEYS, NOW, bytes(16)))
    assert spent.spend(nonce, NOW)
    assert not spent.spend(nonce, NOW)
    assert refuse_nonce().problem.type == "badNonce"


def test_what_is_forgotten_is_not_good_again_when_the_clock_is_set_back() -> None:
    spent = SpentNonces()
    nonce = good(make_nonce(KEYS, NOW, bytes(16)))
    assert spent.spend(nonce, NOW)
    later = NOW + LIFETIME + SKEW
    fresh = good(make_nonce(KEYS, later, bytes(16)), now=later)
    assert spent.spend(fresh, later)
    assert len(spent) == 1
    assert not spent.spend(nonce, NOW)


@given(
    st.lists(
        st.tuples(st.integers(0, 7200), st.integers(0, 30), st.integers(-300, 300)), max_size=60
    )
)
def test_none_is_ever_good_twice_and_memory_is_bounded(uses: list[tuple[int, int, int]]) -> None:
    """Whatever is used in whatever order, by clocks that differ and go back."""
    spent, taken = SpentNonces(most=8), set()
    for seconds, number, skew in uses:
        text = make_nonce(KEYS, NOW + timedelta(seconds=seconds), number.to_bytes(16, "big"))
        now = NOW + timedelta(seconds=seconds + skew)
        nonce = judge_nonce(KEYS, text, now)
        if isinstance(nonce, GoodNonce) and spent.spend(nonce, now):
            assert text not in taken
            taken.add(text)
        assert len(spent) <= 9


def test_a_fresh_nonce_is_good_however_many_were_used() -> None:
    """RFC 8555 §6.5: the one that comes with badNonce must be accepted."""
    spent = SpentNonces(most=4)
    for number in range(50):
        now = NOW + timedelta(seconds=number)
        nonce = good(make_nonce(KEYS, now, number.to_bytes(16, "big")), now=now)
        assert spent.spend(nonce, now)
