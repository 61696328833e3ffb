"""RFC 8460 §3: where a domain wants reports, looked up."""

import pytest

from letterlock.base.domains import Domain
from letterlock.services.discover.tlsrpt import TlsrptFacts, find_tlsrpt
from tests.fakes import FixtureResolver

NAME = Domain("example.org")
OWNER = "_smtp._tls.example.org"


async def find(*texts: bytes) -> TlsrptFacts | None:
    resolver = FixtureResolver()
    resolver.set(OWNER, "TXT", *texts)
    return await find_tlsrpt(resolver, NAME)


async def test_a_record_is_found() -> None:
    """Rule 180."""
    text = "v=TLSRPTv1; rua=mailto:a@x.example,https://x.example/"
    rua = ("mailto:a@x.example", "https://x.example/")
    assert await find(text.encode(), b"v=spf1 -all") == TlsrptFacts(
        NAME, text, rua, destinations=rua
    )


@pytest.mark.parametrize("texts", [(), (b"v=spf1 -all",)])
async def test_a_domain_without_one_wants_none(texts: tuple[bytes, ...]) -> None:
    assert await find(*texts) is None


async def test_a_name_too_long_to_have_one_is_not_asked_for() -> None:
    resolver = FixtureResolver()
    assert await find_tlsrpt(resolver, Domain(f"{'a' * 60}." * 4 + "example")) is None
    assert resolver.asked == []


async def test_what_is_wrong_is_told() -> None:
    wrong = await find(b"v=TLSRPTv1; rua=nowhere")
    assert wrong is not None
    assert (wrong.record, wrong.rua) == ("v=TLSRPTv1; rua=nowhere", ())
    assert wrong.error == "rua: 'nowhere' is not a URI"
    two = await find(b"v=TLSRPTv1; rua=mailto:a@x", b"v=TLSRPTv1; rua=mailto:b@x")
    assert two is not None
    assert (two.record, two.error) == (None, "2 TLSRPT records, where one is allowed")
    unknown = await find(b"v=TLSRPTv1; rua=ftp://x.example/")
    assert unknown is not None
    assert unknown.rua == ("ftp://x.example/",)
    assert unknown.error is not None


async def test_a_lookup_that_fails_is_told() -> None:
    resolver = FixtureResolver()
    resolver.fail(OWNER, "TXT")
    facts = await find_tlsrpt(resolver, NAME)
    assert facts == TlsrptFacts(NAME, error=f"TXT of {OWNER}: no answer", is_passing=True)
