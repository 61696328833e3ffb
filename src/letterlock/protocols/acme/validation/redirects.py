"""Where http-01 looks, and where redirects may send it.

RFC 8555 §8.3 (the URL; redirects should be followed), §10.4 (where they must not lead); RFC 3986
§4.2, §5.2 (relative references); Baseline Requirements 3.2.2.4.19 (which statuses, schemes and
ports; of the ports only the usual two). Which addresses may be connected to is
`services.ca.validating.hosts`. Left out: user information, which is refused.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.identifiers import Identifier

MAX_REDIRECTS = 10
MAX_URL_OCTETS = 2048
REDIRECTING = (301, 302, 307, 308)
PORTS = {"http": 80, "https": 443}

_SHOWN_CHARACTERS = 100
# RFC 3986 §3, §4.2: URI or relative-ref, without its fragment.
_REFERENCE = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):)?"
    r"(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#.*)?\Z"
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<ip>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[^:@\[\]]+))(?::(?P<port>[0-9]{0,5}))?\Z"
)
# RFC 9110 §5.5: no space and no control in a URL.
_PRINTABLE = re.compile(rb"[!-~]+\Z")


@dataclass(frozen=True, slots=True)
class WebUrl:
    """Where to look. `target` is the path with its query; the port is the scheme's own."""

    scheme: str
    host: str
    target: str

    @property
    def port(self) -> int:
        return PORTS[self.scheme]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{self.target}"


@dataclass(frozen=True, slots=True)
class BadRedirect:
    """A redirect that is not followed. `reason` is one line, in which a peer's words are short."""

    reason: str


def make_first_url(identifier: Identifier, token: str) -> WebUrl:
    """Say where the key authorization is asked for first (RFC 8555 §8.3): by HTTP, never HTTPS."""
    return WebUrl("http", identifier.value, http_path(token))


def parse_location(base: WebUrl, values: Sequence[bytes], own: str) -> WebUrl | BadRedirect:
    """Read the Location of a redirect that came from `base`.

    `own` is what is being validated: an address may be named only where it is that one.
    """
    parts = _split(values)
    if isinstance(parts, BadRedirect):
        return parts
    shown = repr(parts.string[:_SHOWN_CHARACTERS])
    scheme = (parts["scheme"] or base.scheme).lower()
    if scheme not in PORTS:
        return BadRedirect(f"its Location is of another scheme than http and https: {shown}")
    if parts["authority"] is None:
        if parts["scheme"] is not None:
            return BadRedirect(f"its Location names no host: {shown}")
        return WebUrl(base.scheme, base.host, _resolve(base, parts["path"], parts["query"]))
    host = _parse_authority(parts["authority"], PORTS[scheme], own)
    if isinstance(host, BadRedirect):
        return BadRedirect(f"{host.reason}: {shown}")
    return WebUrl(scheme, host, _join(_remove_dots(parts["path"]), parts["query"]))


def _split(values: Sequence[bytes]) -> re.Match[str] | BadRedirect:
    if len(values) != 1:
        return BadRedirect("it has no Location" if not values else "it has several Locations")
    (octets,) = values
    if len(octets) > MAX_URL_OCTETS:
        return BadRedirect(f"its Location is longer than {MAX_URL_OCTETS} octets")
    found = _REFERENCE.match(octets.decode("ascii")) if _PRINTABLE.match(octets) else None
    if found is None:
        shown = octets[:_SHOWN_CHARACTERS].decode("latin-1")
        return BadRedirect(f"its Location is no URL: {shown!r}")
    return found


def _parse_authority(authority: str, port: int, own: str) -> str | BadRedirect:
    """Give the host, in the form that names and addresses have here."""
    found = _AUTHORITY.match(authority)
    if found is None:
        return BadRedirect("its Location names no host that could be asked")
    if found["port"] and int(found["port"]) != port:
        return BadRedirect("its Location is on another port than 80 (http) and 443 (https)")
    if found["ip"] is not None:
        host = found["ip"].lower()
        is_address = True
    else:
        host = found["name"].lower()
        # Programs differ in what they take for an address: all digits in the last label are one.
        is_address = host.rstrip(".").rpartition(".")[2].isdigit()
    if host == own:
        return host
    if is_address:
        return BadRedirect("its Location is at another address, and not at a name")
    try:
        return parse_domain(host)
    except DomainError:
        return BadRedirect("its Location names no host that could be asked")


def _resolve(base: WebUrl, path: str, query: str | None) -> str:
    """Resolve a reference without scheme and authority (RFC 3986 §5.2.2)."""
    base_path, _, base_query = base.target.partition("?")
    if not path:
        return _join(base_path, query if query is not None else base_query or None)
    if not path.startswith("/"):
        path = base_path[: base_path.rfind("/") + 1] + path
    return _join(_remove_dots(path), query)


def _remove_dots(path: str) -> str:
    """RFC 3986 §5.2.4, for a path that begins with a slash, or is empty."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _join(path: str, query: str | None) -> str:
    return path if query is None else f"{path}?{query}"
