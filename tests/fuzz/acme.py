"""ACME: what a server says: objects, problems, headers."""

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from letterlock.protocols.acme.challenges import http_path
from letterlock.protocols.acme.directory import parse_account, parse_directory
from letterlock.protocols.acme.fields import (
    MAX_TEXT_CHARACTERS,
    ObjectError,
    Url,
    parse_moment,
    parse_object,
    parse_url,
)
from letterlock.protocols.acme.headers import MAX_LINKS, find_links, parse_retry_after
from letterlock.protocols.acme.identifiers import (
    Identifier,
    find_usable,
    read_identifier,
)
from letterlock.protocols.acme.orders import (
    Authorization,
    Challenge,
    Order,
    find_change,
    find_order_fault,
    parse_authorization,
    parse_challenge,
    parse_order,
)
from letterlock.protocols.acme.problems import Problem, parse_problem, read_problem
from letterlock.protocols.acme.renewal_info import (
    LATEST,
    LONG_TERM,
    SOONEST,
    choose_moment,
    next_look,
    parse_renewal_info,
)
from letterlock.protocols.pki.names import parse_ip
from tests.fuzz.target import Target, take_choices

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_AT = parse_url("https://ca.example/order/1")


def check_object(octets: bytes) -> None:
    """Any body is an object whose parts are bounded, or refused in a line."""
    for parse, check in _OBJECTS:
        try:
            found = parse(octets)
        except ObjectError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 500
        else:
            assert parse(octets) == found
            check(found)


def _check_order(order: Order) -> None:
    for url in (order.finalize, order.certificate, *order.authorizations):
        assert url is None or parse_url(url.text) == url
    assert find_change(order, order) is None
    asked = frozenset({Identifier("dns", "d.example")})
    fault = find_order_fault(order, asked)
    assert (fault is None) == (order.identifiers == asked and bool(order.authorizations))
    assert order.expires is None or order.expires.tzinfo is UTC
    for identifier in order.identifiers:
        _check_read(identifier)
    if order.error is not None:
        _check_problem(order.error)


def _check_authorization(authorization: Authorization) -> None:
    _check_read(authorization.identifier)
    for challenge in authorization.challenges:
        _check_challenge(challenge)
        first = authorization.find_challenge(challenge.type)
        assert first is not None
        assert first.type == challenge.type
    if authorization.problem is not None:
        _check_problem(authorization.problem)


def _check_challenge(challenge: Challenge) -> None:
    assert parse_url(challenge.url.text) == challenge.url
    if challenge.type in ("http-01", "dns-01", "tls-alpn-01"):
        # It becomes part of a path.
        path = http_path(challenge.token)
        assert path.isascii()
        assert path.isprintable()
        assert path.count("/") == 3
        assert not set(path) & set(" ?#%\\")
        assert ".." not in path


def _check_problem(problem: Problem) -> None:
    for line in problem.lines:
        assert line.isprintable()
        assert len(line) < 3000
    assert all(not each.subproblems for each in problem.subproblems)


def _check_read(identifier: Identifier) -> None:
    assert str(identifier).isprintable()
    assert len(str(identifier)) <= 253
    assert find_usable(identifier)
    if identifier.type == "ip":
        assert identifier.address() is not None


def _ignore(_: object) -> None:
    pass


_OBJECTS: tuple[tuple[Callable[[bytes], object], Callable[..., None]], ...] = (
    (functools.partial(parse_order, _AT), _check_order),
    (functools.partial(parse_authorization, _AT), _check_authorization),
    (parse_challenge, _check_challenge),
    (functools.partial(parse_account, _AT), _ignore),
    (lambda octets: read_problem(parse_object(octets, "x")), _check_problem),
    (lambda octets: read_identifier(parse_object(octets, "x")), _check_read),
    (functools.partial(parse_problem, 400), _check_problem),
)


def check_directory(octets: bytes) -> None:
    """A directory's URLs are ones, and its words are bounded; or it is refused in a line."""
    try:
        directory = parse_directory(octets)
    except ObjectError as error:
        assert str(error).isprintable()
        return
    urls = (directory.new_nonce, directory.new_account, directory.new_order, directory.revoke_cert)
    for url in (*urls, directory.key_change, directory.renewal_info):
        assert url is None or parse_url(url.text) == url
    for text in (directory.terms_of_service, directory.website):
        assert text is None or text.isprintable()
    assert len(directory.profiles) <= 100
    assert all(
        len(word) <= MAX_TEXT_CHARACTERS for pair in directory.profiles.items() for word in pair
    )


def check_renewal_info(octets: bytes) -> None:
    """What is chosen lies in the window, and the next look within our bounds."""
    (chance,), body = take_choices(octets, 1)
    try:
        window = parse_renewal_info(body)
    except ObjectError as error:
        assert str(error).isprintable()
        return
    assert window.start <= choose_moment(window, chance / 256) < window.end
    assert window.explanation is None or window.explanation.isprintable()


def check_headers(octets: bytes) -> None:
    """Links are URLs that stand in the header; how long to wait is a time from now, or nothing."""
    links = find_links([octets, b'<https://a.example/>; rel="alternate"'], "alternate")
    assert links
    assert len(links) <= MAX_LINKS
    text = octets.decode("latin-1")
    assert all(f"<{link.text}>" in text for link in links[:-1])
    wait = parse_retry_after(octets, _NOW)
    assert wait is None or wait >= timedelta()
    assert SOONEST <= next_look(wait) <= max(LATEST, LONG_TERM)


def check_url(octets: bytes) -> None:
    """A URL is read as another reader does, and nothing in it can end a line or a field."""
    text = octets.decode("latin-1")
    try:
        url = parse_url(text)
    except ObjectError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 500
        return
    try:
        other = urlsplit(text)
    except ValueError:
        # Brackets with no address in them: nothing can be connected to.
        assert "[" in text
        assert parse_ip(url.host) is None
        return
    assert (other.scheme, other.hostname, other.port or 443) == ("https", url.host, url.port)
    assert other.path + (f"?{other.query}" if "?" in text else "") in (url.target, "")
    assert (other.fragment, other.username, other.password) == ("", None, None)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert isinstance(url, Url)


def check_moment(octets: bytes) -> None:
    """A time is one of RFC 3339, in UTC, and read again as the same."""
    try:
        moment = parse_moment(octets.decode("utf-8", "replace"))
    except ObjectError as error:
        assert str(error).isprintable()
        return
    assert moment.tzinfo is UTC
    assert parse_moment(moment.isoformat()) == moment


_TOKEN = b"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
_ORDER = b"""{"status":"pending","expires":"2026-01-05T14:09:07.99Z","identifiers":[
{"type":"dns","value":"d.example"},{"type":"ip","value":"2001:db8::1"}],
"authorizations":["https://ca.example/a/1"],"finalize":"https://ca.example/o/1/f",
"certificate":"https://ca.example/c","error":{"type":"urn:ietf:params:acme:error:caa"}}"""
_AUTHORIZATION = (
    b"""{"status":"valid","identifier":{"type":"dns","value":"d.example"},"wildcard":true,
"challenges":[{"type":"http-01","url":"https://ca.example/c/1","status":"invalid","token":"%b",
"error":{"type":"about:blank","detail":"x","status":403}},{"type":"x-1","url":"https://a/",
"status":"pending"}]}"""
    % _TOKEN
)
_CHALLENGE = (
    b'{"type":"dns-01","url":"https://ca.example:14000/c?d","status":"valid","token":"%b"}' % _TOKEN
)
_PROBLEM = b"""{"type":"urn:ietf:params:acme:error:malformed","detail":"Some\\nof it","status":400,
"instance":"https://ca.example/terms","subproblems":[{"type":"urn:ietf:params:acme:error:caa",
"detail":"no","identifier":{"type":"dns","value":"_d.example"}}]}"""
_DIRECTORY = b"""{"newNonce":"https://ca.example/n","newAccount":"https://ca.example/a",
"newOrder":"https://ca.example/o","revokeCert":"https://ca.example/r",
"keyChange":"https://ca.example/k","renewalInfo":"https://ca.example/i","meta":{
"termsOfService":"https://a/t","website":"https://a/","caaIdentities":["a.example"],
"externalAccountRequired":false,"profiles":{"classic":"https://a/p"}}}"""
_RENEWAL = b"""\x80{"suggestedWindow":{"start":"2026-01-02T04:00:00Z",
"end":"2026-01-03T04:00:00+01:00"},"explanationURL":"https://a/"}"""
_JSON_WORDS = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"null", b"true", b"1e999", b"-1", b"[" * 600),
    *(b"\\ud800", b"\\u0000", b"\\u2028", b"\\n", b"9" * 30, b'"status":', b'"type":"ip"', b"\xff"),
    *(
        b'"value":"::%1"',
        b"subproblems",
        b"https://[::1]:1/",
        b"0001-01-01T00:00:00+23:59",
        b"/../",
    ),
)
_URL_WORDS = (
    b"https://",
    b":",
    b"[::1]",
    b"/",
    b"?",
    b"#",
    b"@",
    b"%0a",
    b"\\",
    b";",
    b"\n",
    b"\xe9",
)
TARGETS = (
    Target(
        "acme-object",
        check_object,
        (
            *(_ORDER, _AUTHORIZATION, _CHALLENGE, _PROBLEM),
            b'{"status":"valid","contact":["mailto:a@b.c"],"type":"dns","value":"*.D.example"}',
        ),
        _JSON_WORDS,
        2048,
        runs=500,
    ),
    Target("acme-directory", check_directory, (_DIRECTORY,), _JSON_WORDS, 2048, runs=500),
    Target("acme-renewal-info", check_renewal_info, (_RENEWAL,), _JSON_WORDS, 512, runs=500),
    Target(
        "acme-headers",
        check_headers,
        (
            b'<https://a.example/1>;rel="up", <https://a.example/2>; rel=alternate;title="a,b"',
            *(b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT"),
        ),
        (
            *(b"<", b">", b";", b",", b'"', b"rel=", b"alternate", b"rel*=", b" ", b"\t", b"GMT"),
            *(b"+2359", b"-9999", b"9" * 12, b"\xff", b"Feb", b"0000", b":", b"<https://b/>"),
        ),
        512,
        runs=500,
    ),
    Target(
        "acme-url",
        check_url,
        (b"https://ca.example:14000/a/b?c=d", b"https://[2001:db8::1]/"),
        _URL_WORDS,
        300,
    ),
    Target(
        "acme-moment",
        check_moment,
        (b"2026-01-05T14:09:07.99Z", b"2026-01-05t14:09:07+01:00"),
        (
            b"Z",
            b".",
            b"+24:00",
            b"-23:59",
            b":60",
            b"0001-01-01",
            b"9999-12-31T23:59:59",
            b"000000",
        ),
        60,
    ),
)
