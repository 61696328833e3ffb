"""RFC 8996 §4 and §5, RFC 9325 §4.2: versions and ciphers of a table entry."""

import pytest
from OpenSSL import SSL

from letterlock.protocols.policy.tls_parameters import (
    NO_WORDS,
    OPPORTUNISTIC_CIPHERS,
    STRICT_CIPHERS,
    CipherWords,
    ParameterError,
    find_cipher_words,
    parse_ciphers,
    parse_protocols,
)


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        (None, "TLSv1.2", None),
        (">=TLSv1.2", "TLSv1.2", None),
        (">=TLSv1.3", "TLSv1.3", None),
        (">=TLSv1.2:<=TLSv1.2", "TLSv1.2", "TLSv1.2"),
        (">=TLSv1.2, <=TLSv1.3", "TLSv1.2", None),
        ("<=TLSv1.2", "TLSv1.2", "TLSv1.2"),
        ("TLSv1.2:TLSv1.3", "TLSv1.2", None),
        ("TLSv1.3", "TLSv1.3", None),
        ("tlsv1.2", "TLSv1.2", "TLSv1.2"),
        ("!SSLv2:!SSLv3", "TLSv1.2", None),
        ("!SSLv2 !SSLv3 !TLSv1 !TLSv1.1", "TLSv1.2", None),
        ("!TLSv1.3", "TLSv1.2", "TLSv1.2"),
        ("!TLSv1.2", "TLSv1.3", None),
        (">=SSLv3", "TLSv1.2", None),
        (">=TLSv1", "TLSv1.2", None),
        ("TLSv1:TLSv1.1:TLSv1.2", "TLSv1.2", "TLSv1.2"),
    ],
)
def test_versions_below_1_2_are_never_used(text: str | None, lowest: str, highest: str) -> None:
    """RFC 8996 §4, §5: whatever the table says, where TLS is required."""
    found = parse_protocols(text, is_old_allowed=False)
    assert (found.lowest, found.highest) == (lowest, highest)


@pytest.mark.parametrize(
    ("text", "lowest", "highest"),
    [
        (None, "TLSv1.2", None),
        ("!SSLv2:!SSLv3", "TLSv1.2", None),
        ("<=TLSv1.2", "TLSv1.2", "TLSv1.2"),
        (">=TLSv1", "TLSv1", None),
        (">=TLSv1.1", "TLSv1.1", None),
        (">=SSLv3", "TLSv1", None),
        ("TLSv1:TLSv1.1", "TLSv1", "TLSv1.1"),
        (">=TLSv1:<=TLSv1", "TLSv1", "TLSv1"),
    ],
)
def test_old_versions_are_used_only_when_named_and_tls_is_opportunistic(
    text: str | None, lowest: str, highest: str
) -> None:
    """RFC 9325 §5.2, RFC 7435 §3: rather than clear text."""
    found = parse_protocols(text, is_old_allowed=True)
    assert (found.lowest, found.highest) == (lowest, highest)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (">=TLSv1.4", "'TLSv1.4' is not one of TLSv1, "),
        ("TLS1.2", "'TLS1.2' is not one of"),
        (">TLSv1.2", "'>TLSv1.2' is not one of"),
        (">=TLSv1.3:<=TLSv1.2", "leaves no version"),
        ("<=TLSv1.1", "leaves no version"),
        ("SSLv3", "leaves no version"),
        ("!TLSv1.2:!TLSv1.3", "leaves no version"),
    ],
)
def test_a_spec_that_cannot_be_met_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        parse_protocols(text, is_old_allowed=False)


def test_a_hole_between_versions_is_wrong() -> None:
    with pytest.raises(ParameterError, match="between two others"):
        parse_protocols(">=TLSv1:!TLSv1.1", is_old_allowed=True)


@pytest.mark.parametrize("grade", [None, "medium", "low", "export", "MEDIUM"])
def test_a_usual_grade_is_the_default_list(grade: str | None) -> None:
    assert parse_ciphers(grade, is_old_allowed=False) is None


def test_grade_high_and_lists_never_allow_anonymous_or_null() -> None:
    """RFC 9325 §4.1."""
    assert parse_ciphers("high", is_old_allowed=True) == f"{STRICT_CIPHERS}:!aNULL:!eNULL"
    own = parse_ciphers("ECDHE-RSA-AES128-GCM-SHA256", is_old_allowed=False)
    assert own == "ECDHE-RSA-AES128-GCM-SHA256:!aNULL:!eNULL"


def test_what_is_excluded_is_taken_from_the_levels_own_list() -> None:
    strict = parse_ciphers(None, ["AES128, CHACHA20"], is_old_allowed=False)
    assert strict == f"{STRICT_CIPHERS}:!aNULL:!eNULL:!AES128:!CHACHA20"
    loose = parse_ciphers("medium", ["RSA+AES"], is_old_allowed=True)
    assert loose == f"{OPPORTUNISTIC_CIPHERS}:!aNULL:!eNULL:!RSA+AES"


@pytest.mark.parametrize("text", [STRICT_CIPHERS, OPPORTUNISTIC_CIPHERS])
def test_openssl_knows_our_lists(text: str) -> None:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_cipher_list(text.encode())
    names = SSL.Connection(context).get_cipher_list()
    of_1_2 = [name for name in names if not name.startswith("TLS_")]
    assert of_1_2[0] == "ECDHE-RSA-AES128-GCM-SHA256"  # RFC 9325 §4.2.1
    assert not [name for name in names if "NULL" in name or "RC4" in name or "DES" in name]


@pytest.mark.parametrize("grade", ["null", "NULL", "hihg", "high medium", "ALL:@SECLEVEL=0", "-"])
def test_other_grades_are_wrong(grade: str) -> None:
    with pytest.raises(ParameterError, match="ciphers:"):
        parse_ciphers(grade if grade != "-" else "-;", is_old_allowed=True)


@pytest.mark.parametrize("item", ["a;b", "!AES", "@STRENGTH", "ALL\n"])
def test_only_ciphers_can_be_excluded(item: str) -> None:
    if item.strip() != item:
        assert parse_ciphers(None, [item], is_old_allowed=False)
        return
    with pytest.raises(ParameterError, match="exclude:"):
        parse_ciphers(None, [item], is_old_allowed=False)


@pytest.mark.parametrize(
    ("grade", "exclude", "words"),
    [
        (None, (), NO_WORDS),
        ("HIGH", (), CipherWords("high")),
        ("medium", ("RSA, AES128", "A:B"), CipherWords("medium", ("RSA", "AES128", "A", "B"))),
        ("export", (), CipherWords("medium")),
        ("low", (), CipherWords("medium")),
        (None, ("3DES",), CipherWords(None, ("3DES",))),
        ("ECDHE-RSA-AES128-GCM-SHA256", (), None),
        ("A-B:C-D", ("3DES",), None),
    ],
)
def test_what_was_written_can_be_said_in_the_words_of_postfix_but_for_lists(
    grade: str | None, exclude: tuple[str, ...], words: CipherWords | None
) -> None:
    """postconf(5), smtp_tls_policy_maps"""
    assert find_cipher_words(grade, exclude) == words
