"""CRLs and issuers' certificates over plain HTTP, which is where certificates say that they are.

RFC 5280 §8 (no https: a verifier would need the certificate of that, too); RFC 9111 §5.2.2, §5.3
(how long caches keep them); RFC 9110 §13 (who has one already is not sent it again). Only what is
signed is served here, and nothing of ACME.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from urllib.parse import urlsplit

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.network.http_server import HttpAnswer, HttpAsked, format_date
from letterlock.protocols.http.conditions import make_etag
from letterlock.services.ca.publications import Publication, Publications
from letterlock.storage.queue import StoreUnavailable

SETTLED_AFTER = timedelta(minutes=1)
"""A CRL that is younger may yet get another of the same second: by its date nobody knows them."""

_NOT_FOUND = HttpAnswer(HTTPStatus.NOT_FOUND)


class Published:
    """Finds what is asked for. `publications` are those of the settings as they are now."""

    def __init__(self, folder_url: str, publications: Publications, clock: Clock, log: Log) -> None:
        self._prefix = urlsplit(folder_url).path
        self._clock = clock
        self._log = log
        self.publications = publications

    async def find(self, asked: HttpAsked) -> HttpAnswer:
        folder, slash, name = asked.path.removeprefix(self._prefix).partition("/")
        if not slash or not asked.path.startswith(self._prefix):
            return _NOT_FOUND
        try:
            found = await self.publications.find(folder, name)
        except StoreUnavailable as error:
            self._log.write(Service.CA, f"error: {asked.path}: {error}")
            return HttpAnswer(HTTPStatus.SERVICE_UNAVAILABLE)
        if found is None:
            return _NOT_FOUND
        headers = self._describe_caching(found)
        etag, modified = make_etag(found.octets), self._find_modified(found)
        return HttpAnswer(HTTPStatus.OK, found.octets, found.media_type, headers, etag, modified)

    def _find_modified(self, found: Publication) -> datetime | None:
        """Give when it was made; None: another of the same second may come (RFC 9110 §8.8.2.2)."""
        return found.made if self._clock.now() - found.made >= SETTLED_AFTER else None

    def _describe_caching(self, found: Publication) -> tuple[tuple[str, str], ...]:
        now = self._clock.now()
        cached = found.find_cached(now)
        seconds = int(cached.total_seconds())
        control = f"public, max-age={seconds}" if seconds else "no-cache"
        return ("Cache-Control", control), ("Expires", format_date(now + cached))
