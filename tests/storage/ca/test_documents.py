"""The authority's objects as JSON: what is written is read again, of an older release too."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import ExternalBinding
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.server.transitions import fail_order, find_authorization_status
from letterlock.protocols.acme.states import ChallengeStatus
from letterlock.storage.ca.changes import ChangeOrder
from letterlock.storage.ca.documents import (
    ACCOUNT,
    AUTHORIZATION,
    CERTIFICATE,
    CHECK,
    HALT,
    MAX_REMEMBERED,
    ORDER,
    REMEMBERED_DOCUMENTS,
    Form,
)
from letterlock.storage.ca.kept import Halt
from letterlock.storage.ca.scripts.committing import commit
from letterlock.storage.ca.scripts.script import Refused
from tests.fakes import START
from tests.storage.authorities import (
    make_account,
    make_authorization,
    make_check,
    make_issued,
    make_order,
    name,
)

PROBLEM = Problem(
    ErrorType.COMPOUND,
    "two names",
    subproblems=(Problem(ErrorType.CAA, "a «quoted» \x00 one", identifier=name("a.example")),),
)


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ],
)
def test_an_account_is_written_with_its_key(
    key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
) -> None:
    account = replace(make_account(key=make_public_key(key)), agreed_terms="https://ca/terms")
    bound = replace(account, external=ExternalBinding("kid", (("protected", "e30"),)))
    for each in (account, bound):
        found = ACCOUNT.read(ACCOUNT.write(each))
        assert found == each
        assert found.key.jwk == each.key.jwk


def test_all_that_an_authorization_may_have_is_written() -> None:
    pending = make_authorization("one", "*.a.example")
    tried = replace(
        pending.challenges[0],
        status=ChallengeStatus.VALID,
        key_authorization="token.print",
        validated=START + timedelta(microseconds=1),
        error=PROBLEM,
    )
    authorization = replace(pending, challenges=(tried, *pending.challenges[1:]))
    found = AUTHORIZATION.read(AUTHORIZATION.write(authorization))
    assert found == authorization
    assert find_authorization_status(found, START) is pending.status
    check = make_check(pending)
    assert CHECK.read(CHECK.write(check)) == check


def test_all_that_an_order_may_have_is_written() -> None:
    order = make_order("order", make_authorization("one"))
    failed = fail_order(replace(order, not_after=START, certificate_id="c"), PROBLEM)
    assert ORDER.read(ORDER.write(failed)) == failed
    certificate = make_issued(1).certificate
    revoked = replace(certificate, revoked=START, is_key_compromised=True, replaced_by="order")
    assert CERTIFICATE.read(CERTIFICATE.write(revoked)) == revoked


@given(st.text(), st.text(), st.booleans(), st.datetimes(timezones=st.just(START.tzinfo)))
def test_what_people_write_is_kept_as_it_is(
    why: str, who: str, is_halted: bool, since: object
) -> None:
    halt = Halt(is_halted=is_halted, since=since, why=why, who=who)  # type: ignore[arg-type]
    assert HALT.read(HALT.write(halt)) == halt
    assert HALT.is_same(HALT.write(halt), halt)


def test_what_an_older_release_wrote_is_the_same_value() -> None:
    """It lacks the fields that came later, and writes them in another order."""
    account = make_account()
    members = msgspec.json.decode(ACCOUNT.write(account))
    del members["external"], members["agreed_terms"]
    older = msgspec.json.encode(dict(reversed(members.items()))).decode()
    assert older != ACCOUNT.write(account)
    assert ACCOUNT.is_same(older, account)
    assert not ACCOUNT.is_same(older, replace(account, contacts=()))
    newer = msgspec.json.encode(members | {"later": 1}).decode()
    assert ACCOUNT.read(newer) == account


def test_what_was_read_of_late_is_not_read_again() -> None:
    form = Form(Halt)
    texts = [form.write(Halt(why=str(number))) for number in range(REMEMBERED_DOCUMENTS + 1)]
    first = form.read(texts[0])
    assert form.read(texts[0]) is first
    assert form.is_same(texts[0], first)
    for each in texts:
        assert form.read(each) == Halt(why=str(texts.index(each)))
    assert form.read(texts[0]) is not first
    long = form.write(Halt(why="w" * MAX_REMEMBERED))
    assert form.read(long) == form.read(long)
    assert form.read(long) is not form.read(long)


def test_what_is_no_document_is_an_error() -> None:
    for text in ("", "[]", '{"id": 1}', ACCOUNT.write(make_account()).replace("valid", "other")):
        with pytest.raises(ValueError, match=r".*"):
            ACCOUNT.read(text)


def test_a_script_that_is_told_of_nothing_refuses() -> None:
    """What an engine answers is all that a script goes by."""
    order = make_order("order", make_authorization("one"))
    script = commit([ChangeOrder(order, order)], [])
    sql, values = next(script)
    assert "orders" in sql
    assert values == ("order",)
    with pytest.raises(Refused):
        script.send([])
