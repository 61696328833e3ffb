"""CRLs and issuers' certificates over plain HTTP, which is where certificates say that they are.

RFC 5280 §8 (no https: a verifier would need the certificate of that, too). Only what is signed is
served here, and nothing of ACME.
"""

from http import HTTPStatus
from urllib.parse import urlsplit

from letterlock.base.log import Log, Service
from letterlock.network.http_server import HttpAnswer, HttpAsked
from letterlock.services.ca.publications import Publications
from letterlock.storage.queue import StoreUnavailable

_NOT_FOUND = HttpAnswer(HTTPStatus.NOT_FOUND)


class Published:
    """Finds what is asked for. `publications` are those of the settings as they are now."""

    def __init__(self, folder_url: str, publications: Publications, log: Log) -> None:
        self._prefix = urlsplit(folder_url).path
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
        return HttpAnswer(HTTPStatus.OK, found.octets, found.media_type)
