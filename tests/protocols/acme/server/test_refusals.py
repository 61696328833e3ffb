"""RFC 8555 §6.7: what is refused, and with which HTTP status."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.problems import Problem, format_problem, parse_problem
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    find_status,
    refuse,
    refuse_foreign,
    refuse_method,
    refuse_names,
    refuse_unknown,
)

NAMES = [Identifier("dns", f"n{number}.example") for number in range(4)]


@pytest.mark.parametrize("kind", ErrorType)
def test_each_type_has_its_status_and_is_read_by_our_client(kind: ErrorType) -> None:
    """RFC 8555 §6.7: and no type is said that is not registered."""
    refusal = refuse(kind, "why\x1b it\nis")
    assert refusal.status == find_status(kind)
    assert 400 <= refusal.status <= 500
    document = format_problem(refusal.problem)
    assert document["type"] == f"urn:ietf:params:acme:error:{kind}"
    read = parse_problem(refusal.status, json.dumps(document).encode())
    assert read == Problem(str(kind), "why? it is", refusal.status)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        *(("rateLimited", 429), ("unauthorized", 403), ("orderNotReady", 403), ("badNonce", 400)),
        *(("userActionRequired", 403), ("alreadyReplaced", 409), ("serverInternal", 500)),
        *(("badSignatureAlgorithm", 400), ("badPublicKey", 400), ("accountDoesNotExist", 400)),
    ],
)
def test_statuses_that_the_text_names(kind: str, status: int) -> None:
    """RFC 8555 §6.2, §6.5, §7.3.1, §7.3.3, §7.4; RFC 9773 §5."""
    assert find_status(ErrorType(kind)) == status


def test_what_is_not_there_and_what_is_anothers() -> None:
    """RFC 8555 §6.3, §10.5."""
    assert refuse_unknown("order").status == 404
    assert refuse_foreign("order").status == 403
    assert refuse_foreign("order").problem.type == "unauthorized"


def test_a_method_that_is_not_taken() -> None:
    """RFC 8555 §6.3: GET of a resource is 405, malformed."""
    refusal = refuse_method(("POST",))
    assert (refusal.status, refusal.problem.type) == (405, "malformed")
    assert refusal.allowed_methods == ("POST",)


def test_one_name_is_told_without_subproblems() -> None:
    """RFC 8555 §6.7.1: `identifier` never stands at the top."""
    refusal = refuse_names([NameFault(NAMES[0], ErrorType.CAA, "forbidden")], "not asked")
    assert refusal.status == 403
    assert format_problem(refusal.problem) == {
        "type": "urn:ietf:params:acme:error:caa",
        "detail": "n0.example: forbidden",
        "status": 403,
    }


def test_several_kinds_are_compound() -> None:
    """RFC 8555 §6.7.1."""
    faults = [
        NameFault(NAMES[0], ErrorType.CAA, "forbidden"),
        NameFault(NAMES[1], ErrorType.DNS, "no answer"),
    ]
    refusal = refuse_names(faults, "two names failed")
    assert (refusal.problem.type, refusal.status) == ("compound", 403)
    assert [each.type for each in refusal.problem.subproblems] == ["caa", "dns"]
    same = refuse_names([replace(each, type=ErrorType.DNS) for each in faults], "two")
    assert (same.problem.type, same.status) == ("dns", 400)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(ErrorType)), min_size=1))
def test_subproblems_name_distinct_names_each_once(
    found: list[tuple[Identifier, ErrorType]],
) -> None:
    """RFC 8555 §6.7.1; in 2020 all of an order's subproblems named one domain."""
    faults = [NameFault(name, kind, "why") for name, kind in found]
    problem = refuse_names(faults, "some names failed").problem
    names = [each.identifier for each in problem.subproblems]
    asked = list(dict.fromkeys(name for name, _ in found))
    assert names == (asked if len(asked) > 1 else [])
    for subproblem in problem.subproblems:
        first = next(kind for name, kind in found if name == subproblem.identifier)
        assert subproblem.type == first
    assert "identifier" not in format_problem(problem)
    read = parse_problem(problem.status or 0, json.dumps(format_problem(problem)).encode())
    assert read == problem
