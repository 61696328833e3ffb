"""CRLs over plain HTTP: what is asked for is found, and nothing else is."""

from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import pytest
from cryptography import x509

from letterlock.network.http_server import HttpAsked
from letterlock.node.ca.publishing import Published
from letterlock.protocols.http.conditions import make_etag
from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod
from letterlock.services.ca.publications import Publications
from letterlock.storage.ca.kept import KeptCrl
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock, FakeLog
from tests.network.certificates import authority


class Shard:
    """A store with one CRL."""

    def __init__(self) -> None:
        self.period = CrlPeriod(1, START, START + timedelta(days=7))

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        return KeptCrl(issuer, shard, self.period, 0, b"signed")


class Away:
    """A store that cannot be asked."""

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        raise StoreUnavailable(f"no {shard} of {issuer.hex()}")


@pytest.mark.parametrize(
    "path", ["/", "/crl", "/crl/x", "/crl/../1.crl", "/other/0011223344556677/1.crl", "//crl/a/b"]
)
async def test_what_is_not_there_is_not_found(path: str) -> None:
    publications = Publications(Away(), [])
    published = Published("http://ca.example/crl/", publications, FakeClock(), FakeLog())
    assert (await published.find(HttpAsked("", path))).status is HTTPStatus.NOT_FOUND


async def test_while_the_database_is_away_clients_are_told_so() -> None:
    """A CRL that is not found would be taken for one that was taken away."""
    certificate = x509.load_pem_x509_certificate(authority().pem)
    log = FakeLog()
    publications = Publications(Away(), [certificate])
    published = Published("http://ca.example/crl/", publications, FakeClock(), log)
    (folder,) = publications._certificates
    answer = await published.find(HttpAsked("", f"/crl/{folder}/1.crl"))
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert f"/crl/{folder}/1.crl" in log.texts[0]
    # What is in memory is given all the same.
    issuer = await published.find(HttpAsked("", f"/crl/{folder}/issuer.der"))
    assert (issuer.status, issuer.media_type) == (HTTPStatus.OK, "application/pkix-cert")


async def test_a_crl_is_known_by_its_tag_and_by_its_date_once_no_other_can_have_it() -> None:
    """RFC 9110 §8.8.2.2, §8.8.3: two CRLs may be of one second."""
    shard = Shard()
    publications = Publications(shard, [x509.load_pem_x509_certificate(authority().pem)])
    clock = FakeClock()
    published = Published("http://ca.example/crl/", publications, clock, FakeLog())
    (folder,) = publications._certificates
    asked = HttpAsked("", f"/crl/{folder}/1.crl")
    young = await published.find(asked)
    assert (young.etag, young.modified) == (make_etag(b"signed"), None)
    clock.move(timedelta(minutes=1))
    settled = await published.find(asked)
    assert (settled.etag, settled.modified) == (young.etag, START)
    # Where the clock was set back it is young again, and never of the future.
    clock.move(timedelta(days=-1))
    assert (await published.find(asked)).modified is None
    issuer = await published.find(HttpAsked("", f"/crl/{folder}/issuer.der"))
    assert issuer.etag == make_etag(issuer.body) != young.etag


async def test_caches_are_told_how_long_a_crl_may_be_kept() -> None:
    """RFC 9111 §5.2.2, §5.3: one that has ended is asked for each time."""
    publications = Publications(Shard(), [x509.load_pem_x509_certificate(authority().pem)])
    clock = FakeClock()
    published = Published("http://ca.example/crl/", publications, clock, FakeLog())
    (folder,) = publications._certificates
    asked = HttpAsked("", f"/crl/{folder}/1.crl")
    fresh = dict((await published.find(asked)).headers)
    assert fresh["Cache-Control"] == "public, max-age=3600"
    assert parsedate_to_datetime(fresh["Expires"]) == START + timedelta(hours=1)
    clock.move(timedelta(days=8))
    ended = dict((await published.find(asked)).headers)
    assert ended["Cache-Control"] == "no-cache"
    assert parsedate_to_datetime(ended["Expires"]) == clock.now()
