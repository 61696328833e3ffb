"""CRLs over plain HTTP: what is asked for is found, and nothing else is."""

from http import HTTPStatus

import pytest
from cryptography import x509

from letterlock.network.http_server import HttpAsked
from letterlock.node.ca.publishing import Published
from letterlock.services.ca.publications import Publications
from letterlock.storage.ca.kept import KeptCrl
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import FakeLog
from tests.network.certificates import authority


class Away:
    """A store that cannot be asked."""

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        raise StoreUnavailable(f"no {shard} of {issuer.hex()}")


@pytest.mark.parametrize(
    "path", ["/", "/crl", "/crl/x", "/crl/../1.crl", "/other/0011223344556677/1.crl", "//crl/a/b"]
)
async def test_what_is_not_there_is_not_found(path: str) -> None:
    published = Published("http://ca.example/crl/", Publications(Away(), []), FakeLog())
    assert (await published.find(HttpAsked("", path))).status is HTTPStatus.NOT_FOUND


async def test_while_the_database_is_away_clients_are_told_so() -> None:
    """A CRL that is not found would be taken for one that was taken away."""
    certificate = x509.load_pem_x509_certificate(authority().pem)
    log = FakeLog()
    publications = Publications(Away(), [certificate])
    published = Published("http://ca.example/crl/", publications, log)
    (folder,) = publications._certificates
    answer = await published.find(HttpAsked("", f"/crl/{folder}/1.crl"))
    assert answer.status is HTTPStatus.SERVICE_UNAVAILABLE
    assert f"/crl/{folder}/1.crl" in log.texts[0]
    # What is in memory is given all the same.
    issuer = await published.find(HttpAsked("", f"/crl/{folder}/issuer.der"))
    assert (issuer.status, issuer.media_type) == (HTTPStatus.OK, "application/pkix-cert")
