"""RFC 8460 §4.3: each result has words for people."""

import pytest

from letterlock.protocols.tlsrpt.meanings import MEANINGS, UNKNOWN, find_meaning
from letterlock.protocols.tlsrpt.result_types import ResultType


def test_each_result_type_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ResultType)
    texts = [meaning.what for meaning in MEANINGS.values()]
    assert len(set(texts)) == len(ResultType)


@pytest.mark.parametrize("result_type", ["ech-required", "", None])
def test_other_words_are_unknown(result_type: str | None) -> None:
    assert find_meaning(result_type) is UNKNOWN


def test_a_meaning_is_found_by_the_text_of_a_report() -> None:
    assert "expired" in find_meaning("certificate-expired").what
