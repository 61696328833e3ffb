"""Filters: edits of a header section, results forged in our name, and what rspamd answers."""

import re

from letterlock.protocols.rspamd.answers import (
    MAX_FIELDS,
    MAX_RECIPIENTS,
    AnswerError,
    describe,
    parse_answer,
)
from letterlock.protocols.smtp.authentication_results import (
    ResultsError,
    format_results,
    parse_results,
)
from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.header_edits import EditError, cut_fields, edit_header, fold_field
from letterlock.protocols.smtp.own_results import (
    drop_own_results,
    make_own_names,
    may_have_results,
)
from letterlock.services.filter.contract import Passed
from letterlock.services.filter.rspamd import judge_answer
from tests.fuzz.target import Target, take_choices

_OWN = make_own_names(["mx.test"])
_HEADER = b"A: 1\r\nB: 2\r\n and\r\nno field\r\na : 3\r\n"
_WORDS = (b"\r\n", b"\r\n ", b"\r\n\r\n", b"\n", b"\r", b"\0", b":", b"A", b"B: ", b"\xff", b"\t")


def check_header_edits(octets: bytes) -> None:
    """No value begins a field or ends the header section, and nothing else moves."""
    (choice, number), rest = take_choices(octets, 2)
    header, _, texts = rest.partition(b"\xff")
    name, _, value = texts.partition(b"\xff")
    if header.startswith(b"\r\n"):
        header = b""  # that would be the empty line behind it
    assert b"".join(field.octets for field in cut_fields(header)) == header
    edit = _make_edit(choice, number % 8, name.decode("latin-1"), value)
    before = len(cut_fields(header))
    try:
        edited = edit_header(header, [edit])
    except EditError:
        return
    after = len(cut_fields(edited))
    assert after - before in ((1,), (1,), (0, 1), range(-before, 1))[choice % 4]
    assert edited.count(b"\r\n\r\n") <= header.count(b"\r\n\r\n")
    lowered = edit.name.lower().encode("latin-1")
    for field in cut_fields(header):
        assert field.name.lower() == lowered or field.octets in edited
    (made,) = cut_fields(fold_field("X", value))
    assert made.name == b"X"


def _make_edit(choice: int, number: int, name: str, value: bytes) -> FieldEdit:
    match choice % 4:
        case 0:
            return InsertField(number, name, value)
        case 1:
            return AppendField(name, value)
        case 2:
            return ChangeField(name, number, value)
        case _:
            return DeleteField(name, number - 4 if number else None)


def check_own_results(octets: bytes) -> None:
    """What is left has nothing that the grammar reads as ours; nothing else went."""
    cleaned, count = drop_own_results(octets, _OWN)
    if not may_have_results(octets):
        assert (cleaned, count) == (octets, 0)
    assert drop_own_results(cleaned, _OWN) == (cleaned, 0)
    left = [field.octets for field in cut_fields(octets)]
    for field in cut_fields(cleaned):
        assert field.octets in left
        left.remove(field.octets)
    assert len(left) == count
    for each in left:
        assert each.lower().startswith(b"authentication-results")
    for field in cut_fields(cleaned):
        if field.name.lower() == b"authentication-results":
            assert not re.match(rb"\s*mx\.test\s*(;|\Z)", field.value, re.IGNORECASE)


def check_results(octets: bytes) -> None:
    """What can be read can be written, and says the same then."""
    text = octets.decode("utf-8", "replace")
    try:
        results = parse_results(text)
    except ResultsError:
        return
    assert parse_results(format_results(results)) == results


def check_rspamd_answer(octets: bytes) -> None:
    """What can be read is bounded, and what it asks for can be carried out or is refused."""
    try:
        answer = parse_answer(octets)
    except AnswerError:
        return
    assert answer.action
    describe(answer)
    judgement = judge_answer(answer, 2)
    assert len(judgement.edits) <= 5 * MAX_FIELDS
    assert len(judgement.added) <= MAX_RECIPIENTS
    if not isinstance(judgement.answer, Passed):
        assert judgement.edits == ()
    for edit in judgement.edits:
        try:
            edited = edit_header(_HEADER, [edit])
        except EditError:
            continue
        assert abs(len(cut_fields(edited)) - len(cut_fields(_HEADER))) <= 2


TARGETS = (
    Target(
        "authentication-results",
        check_results,
        (
            b'a.example 1; spf=pass (x) smtp.mailfrom=b.example; dkim/1=fail reason="a b"',
            b"(c) a.example (d); none",
            b"a.example; dmarc=none action=none header.from=b.example;",
        ),
        (*_WORDS, b";", b"(", b")", b'"', b"=", b".", b"/", b"none", b"reason=", b"\\", b" 2"),
        1024,
    ),
    Target(
        "rspamd-answer",
        check_rspamd_answer,
        (
            (
                b'{"action":"add header","score":7,"required_score":9,"symbols":{"A":{"score":1}},'
                b'"messages":{"smtp_message":"x"},"dkim-signature":"v=1"}'
            ),
            (
                b'{"action":"a","milter":{"add_headers":{"A":"b","C":{"value":"d","order":1}},'
                b'"remove_headers":{"A":0,"B":-1},"spam_header":"x","change_from":"a@b",'
                b'"add_rcpt":["c@d"],"del_rcpt":["e@f"],"no_action":true}}'
            ),
            b'{"action":"rewrite subject","subject":"[spam]"}',
            b'{"error":"x"}',
        ),
        (b'"reject"', b'"quarantine"', b'"soft reject"', b"[", b"]", b"{", b"}", b":", b",", b"-"),
        2048,
    ),
    Target(
        "own-results",
        check_own_results,
        (
            b"Authentication-Results: mx.test; dkim=pass\r\nA: 1\r\n",
            b'authentication-results : (x)\r\n (y (z)) "mx.test" 1; none\r\n',
            b"A: 1\r\nAuthentication-Results: other.test 1; none\r\nB: 2\r\n",
        ),
        (*_WORDS, b"mx.test", b";", b"(", b")", b'"', b"\\", b"Authentication-Results:", b" 2"),
        1024,
    ),
    Target(
        "header-edits",
        check_header_edits,
        tuple(bytes((kind, 2)) + _HEADER + b"\xffA\xff x\r\nB: y" for kind in range(4)),
        _WORDS,
    ),
)
