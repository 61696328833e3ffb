"""Our own verification: what is found is in one field on top, and nothing is refused for it."""

from collections.abc import Collection, Mapping

import pytest
from msgspec.structs import replace

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.verifying import KeyAnswer, KeyUnavailable
from letterlock.protocols.smtp.authentication_results import (
    AuthenticationResults,
    MethodResult,
    Property,
    parse_results,
)
from letterlock.protocols.smtp.field_edits import InsertField
from letterlock.services.filter.contract import Judgement, Passed
from letterlock.services.filter.dkim_results import DkimResultsFilter
from letterlock.services.filter.message import WholeMessage
from tests.fakes import FakeClock, FakeLog
from tests.protocols.dkim.test_verifying import BODY, HEADER, NAME, NOW, RECORD, make_field
from tests.services.filter.scripted import CLIENT, MAIL, MemoryBody, make_message

KEYS: dict[Domain, KeyAnswer] = {NAME: (RECORD.encode(),)}
SIGNED = (
    *(Property("header", "d", "example.org"), Property("header", "s", "sel-ed25519")),
    *(Property("header", "a", "ed25519-sha256"), Property("header", "i", "@example.org")),
)


async def judge(
    message: WholeMessage, keys: Mapping[Domain, KeyAnswer]
) -> tuple[AuthenticationResults, list[str]]:
    """Give what the field says, and the log."""
    log = FakeLog()

    async def find(names: Collection[Domain]) -> Mapping[Domain, KeyAnswer]:
        return {name: keys[name] for name in names if name in keys}

    own = DkimResultsFilter("mx.example.org", find, FakeClock(NOW), log)
    session = own.begin(CLIENT)
    assert isinstance(await session.begin(MAIL), Passed)
    assert isinstance(await session.take_recipient("bob@example.org", ()), Passed)
    judgement = await session.judge(message)
    session.abort()
    session.close()
    (edit,) = judgement.edits
    assert judgement == Judgement(edits=(edit,))
    assert isinstance(edit, InsertField)
    assert (edit.above, edit.name) == (0, "Authentication-Results")
    assert max(map(len, edit.value.split(b"\r\n"))) < 100
    return parse_results(edit.value.decode()), log.texts


def make(header: bytes = HEADER, body: bytes = BODY) -> WholeMessage:
    return replace(make_message(header), body=MemoryBody(body))


async def test_a_message_that_is_not_signed() -> None:
    """RFC 8601 §2.7.1: none."""
    found = await judge(make(), KEYS)
    unsigned = MethodResult("dkim", "none")
    assert found == (AuthenticationResults("mx.example.org", (unsigned,)), [])


@pytest.mark.parametrize(
    ("keys", "body", "result", "reason"),
    [
        (KEYS, BODY, "pass", None),
        (KEYS, b"other\r\n", "fail", "body hash did not verify"),
        ({}, BODY, "permerror", "no key for signature"),
        ({NAME: KeyUnavailable('a "loop"')}, BODY, "temperror", 'key unavailable: a "loop"'),
    ],
)
async def test_what_became_of_a_signature(
    keys: dict[Domain, KeyAnswer], body: bytes, result: str, reason: str | None
) -> None:
    """RFC 8601 §2.7.1."""
    found, log = await judge(make(make_field() + HEADER, body), keys)
    assert found.results == (MethodResult("dkim", result, reason, SIGNED),)
    assert log == [f"DKIM verification: {result} (s=sel-ed25519, d=example.org)"]


async def test_each_signature_has_its_result() -> None:
    found, log = await judge(make(make_field() + b"DKIM-Signature: x\r\n" + HEADER), KEYS)
    assert [each.result for each in found.results] == ["pass", "neutral"]
    assert len(log) == 2
