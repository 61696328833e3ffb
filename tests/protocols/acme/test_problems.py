"""RFC 8555 §6.7: what a server says is wrong, name by name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.problems import MAX_DETAIL_CHARACTERS, Problem, parse_problem

ACME = "urn:ietf:params:acme:error:"


def test_subproblems_are_told_name_by_name() -> None:
    """RFC 8555 §6.7.1."""
    body = {
        "type": ACME + "malformed",
        "detail": "Some of the identifiers requested were rejected",
        "subproblems": [
            {
                "type": ACME + "rejectedIdentifier",
                "detail": "No names\nlike that",
                "identifier": {"type": "dns", "value": "a.example"},
            },
            {"type": ACME + "caa", "identifier": {"type": "dns", "value": "b.example"}},
            {"type": "https://ca.example/own", "detail": "odd"},
        ],
    }
    problem = parse_problem(403, json.dumps(body).encode())
    assert problem.status == 403
    assert problem.type == "malformed"
    assert problem.subproblems[0].identifier == parse_identifier("a.example")
    assert problem.lines == (
        "malformed: Some of the identifiers requested were rejected",
        "a.example: rejectedIdentifier: No names like that",
        "b.example: caa",
        "https://ca.example/own: odd",
    )


def test_where_people_read_more_is_told() -> None:
    """RFC 8555 §7.3.3: new terms of service."""
    body = {"type": ACME + "userActionRequired", "detail": "new terms", "instance": "https://ca/t"}
    assert parse_problem(403, json.dumps(body).encode()).lines == (
        "userActionRequired: new terms",
        "see https://ca/t",
    )


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"type": 3}', b'{"subproblems": [1]}', b'{"identifier": 1}']
)
def test_what_is_no_problem_document_is_a_problem(body: bytes) -> None:
    """RFC 7807 §4.2."""
    assert parse_problem(502, body) == Problem("about:blank", "HTTP status 502", 502)


def test_a_problem_without_detail_has_the_status() -> None:
    assert parse_problem(400, b"{}").summary == "HTTP status 400"


def test_a_servers_words_are_bounded() -> None:
    body = {"type": ACME + "malformed", "detail": "x\x1b[31m" * 300}
    problem = parse_problem(400, json.dumps(body).encode())
    assert len(problem.detail) <= MAX_DETAIL_CHARACTERS
    assert problem.detail.isprintable()


@given(st.binary())
def test_no_body_is_an_error(body: bytes) -> None:
    assert parse_problem(500, body).status == 500
