"""What rspamd answers is read as far as it can be, and never further than it may be."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.rspamd.answers import (
    MAX_ANSWER_OCTETS,
    MAX_FIELDS,
    MAX_RECIPIENTS,
    MAX_SYMBOLS,
    MAX_TEXT_CHARACTERS,
    AddedField,
    AnswerError,
    RemovedField,
    RspamdAnswer,
    Symbol,
    describe,
    parse_answer,
)

REAL = (
    b'{"is_skipped":false,"score":7.25,"required_score":15.0,"action":"add header","symbols":'
    b'{"TEST_RULE":{"name":"TEST_RULE","score":-1.5,"metric_score":-1.5,"options":["a"]},'
    b'"OTHER":{"name":"OTHER","score":8.75}},"messages":{"smtp_message":"come again"},'
    b'"message-id":"undef","time_real":0.1,"subject":"[spam] x","dkim-signature":"v=1; a=rsa",'
    b'"milter":{"remove_headers":{"X-Gone":0,"X-First":1,"X-Last":-1},"add_headers":{"X-Top":'
    b'{"order":1,"value":"top"},"X-Two":["first",{"value":"second"}],"X-One":"one"},'
    b'"change_from":"a@b.example","add_rcpt":["c@d.example"],"del_rcpt":["e@f.example"],'
    b'"spam_header":{"X-A":"yes"},"reject":"quarantine","no_action":true}}'
)


def test_an_answer_is_read_whole() -> None:
    assert parse_answer(REAL) == RspamdAnswer(
        action="add header",
        score=7.25,
        required_score=15.0,
        symbols=(Symbol("TEST_RULE", -1.5), Symbol("OTHER", 8.75)),
        message="come again",
        subject="[spam] x",
        added=(
            AddedField("X-Top", "top", 1),
            AddedField("X-Two", "first"),
            AddedField("X-Two", "second"),
            AddedField("X-One", "one"),
        ),
        removed=(
            RemovedField("X-Gone", 0),
            RemovedField("X-First", 1),
            RemovedField("X-Last", -1),
        ),
        signatures=("v=1; a=rsa",),
        spam_fields=(AddedField("X-A", "yes"),),
        sender="a@b.example",
        added_recipients=("c@d.example",),
        removed_recipients=("e@f.example",),
        on_reject="quarantine",
        is_advice=True,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, RspamdAnswer("x")),
        ({"score": "much", "required_score": None}, RspamdAnswer("x")),
        ({"score": True, "required_score": 10**400}, RspamdAnswer("x")),
        ({"score": float("nan"), "required_score": float("inf")}, RspamdAnswer("x")),
        ({"score": 3}, RspamdAnswer("x", score=3.0)),
        ({"symbols": ["A"], "messages": "no", "subject": 7}, RspamdAnswer("x")),
        (
            {"symbols": {"A": 1, "B": {"score": 2}}},
            RspamdAnswer("x", symbols=(Symbol("A", 0.0), Symbol("B", 2.0))),
        ),
        ({"milter": []}, RspamdAnswer("x")),
        ({"milter": {"add_headers": {"A": 1, "B": {"value": 2}, "C": None}}}, RspamdAnswer("x")),
        (
            {"milter": {"add_headers": {"A": {"value": "v", "order": True}}}},
            RspamdAnswer("x", added=(AddedField("A", "v"),)),
        ),
        (
            {"milter": {"add_headers": {"A": {"value": "v", "index": -2}}}},
            RspamdAnswer("x", added=(AddedField("A", "v", -2),)),
        ),
        (
            {"milter": {"remove_headers": {"A": "1", "B": [1, True, 2.0]}}},
            RspamdAnswer("x", removed=(RemovedField("B", 1),)),
        ),
        (
            {"milter": {"spam_header": "Oh yes"}},
            RspamdAnswer("x", spam_fields=(AddedField("", "Oh yes"),)),
        ),
        (
            {"milter": {"spam_header": {"A": 1}, "no_action": "true", "reject": 1}},
            RspamdAnswer("x"),
        ),
        ({"dkim-signature": ["a", 1, "b"]}, RspamdAnswer("x", signatures=("a", "b"))),
    ],
)
def test_what_is_odd_is_left_out(fields: dict[str, object], expected: RspamdAnswer) -> None:
    assert parse_answer(json.dumps({"action": "x", **fields}).encode()) == expected


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"action":"x"', "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "no action"),
        (b"null", "no action"),
        (b"{}", "no action"),
        (b'{"action":7}', "no action"),
        (b'{"action":""}', "no action"),
        (b'{"error":"Empty input"}', "an error: Empty input"),
        (b" " * (MAX_ANSWER_OCTETS + 1), "more than"),
    ],
)
def test_what_is_no_answer_is_told(octets: bytes, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        parse_answer(octets)


def test_octets_that_are_no_utf_8_do_not_make_it_useless() -> None:
    """Symbols repeat what strangers wrote."""
    answer = parse_answer(b'{"action":"reject","messages":{"smtp_message":"\xff!"}}')
    assert answer.message == "\ufffd!"


def test_an_answer_is_bounded() -> None:
    many = {f"A{number}": "v" * 10 for number in range(2000)}
    answer = parse_answer(
        json.dumps(
            {
                "action": "x" * 5000,
                "symbols": {name: {"score": 1} for name in many},
                "messages": {"smtp_message": "y" * 5000},
                "dkim-signature": ["s"] * 2000,
                "milter": {
                    "add_headers": many,
                    "remove_headers": dict.fromkeys(many, 0),
                    "add_rcpt": [*many],
                    "del_rcpt": [*many],
                    "spam_header": many,
                },
            }
        ).encode()
    )
    assert len(answer.action) == len(answer.message or "") == MAX_TEXT_CHARACTERS
    assert len(answer.symbols) == MAX_SYMBOLS
    assert {len(answer.added), len(answer.removed), len(answer.signatures)} == {MAX_FIELDS}
    assert len(answer.spam_fields) == MAX_FIELDS
    assert len(answer.added_recipients) == len(answer.removed_recipients) == MAX_RECIPIENTS


def test_the_log_has_what_counts_most() -> None:
    symbols = tuple(Symbol(f"S{number}", float(number)) for number in range(4))
    answer = RspamdAnswer("add header", 6.0, 15.0, (*symbols, Symbol("HAM", -9.0)))
    assert describe(answer) == (
        "add header [6.00/15.00] [HAM(-9.00),S3(3.00),S2(2.00),S1(1.00),S0(0.00)]"
    )
    assert describe(answer, 2) == "add header [6.00/15.00] [HAM(-9.00),S3(3.00),and 3 more]"
    assert describe(RspamdAnswer("no action")) == "no action [0.00/0.00] []"


ODD: tuple[object, ...] = (
    *(None, True, 7, -1.5, "", "text", [], ["a", 1, None], {}, {"A": "b"}, {"A": {"value": "b"}}),
    *({"A": [1, {"value": "v", "order": 2}]}, [[]], {"A": {"score": []}}),
)
JSON = st.sampled_from(ODD)
KEYS = ("score", "symbols", "messages", "subject", "milter", "dkim-signature", "required_score")
MILTER_KEYS = ("add_headers", "remove_headers", "spam_header", "change_from", "add_rcpt", "reject")


@given(
    st.dictionaries(st.sampled_from(KEYS), JSON),
    st.dictionaries(st.sampled_from(MILTER_KEYS), JSON),
)
def test_any_json_with_an_action_is_an_answer(
    fields: dict[str, object], milter: dict[str, object]
) -> None:
    document = {"milter": milter, **fields, "action": "no action"}
    assert parse_answer(json.dumps(document).encode()).action == "no action"
