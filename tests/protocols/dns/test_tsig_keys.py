"""TSIG keys in the forms that name servers' tools write."""

from base64 import b64encode

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.tsig_keys import (
    MAX_KEY_FILE_CHARACTERS,
    MAX_SECRET_OCTETS,
    TsigAlgorithm,
    TsigKey,
    TsigKeyError,
    parse_tsig_key,
)

# Its base64 has "//" in it, which begins a comment of BIND's anywhere but inside a word.
SECRET = b"abc" + b"\xff\xff\xff" * 10 + b"ab"
TEXT = b64encode(SECRET).decode()
KEY = TsigKey(Domain("acme.example.org"), TsigAlgorithm.HMAC_SHA512, SECRET)

FORMS = {
    "tsig-keygen": f'key "acme.example.org" {{\n\talgorithm hmac-sha512;\n'
    f'\tsecret "{TEXT}";\n}};\n',
    "named.conf": f"/* for\nACME */ key ACME.example.org. {{ // a\n secret {TEXT}; # b\n"
    " algorithm HMAC-SHA512; }",
    "keymgr -t": f"# hmac-sha512:acme.example.org:{TEXT}\nkey:\n  - id: acme.example.org\n"
    f"    algorithm: hmac-sha512\n    secret: {TEXT}\n",
    "knot.conf": f'key:\n- id: "acme.example.org."\n  secret: "{TEXT}"\n  algorithm: hmac-sha512',
    "nsupdate -y": f"hmac-sha512:acme.example.org:{TEXT}\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read(form: str) -> None:
    """RFC 8945 §6."""
    assert TEXT.count("//") > 0
    assert parse_tsig_key(FORMS[form]) == KEY


def test_the_default_algorithm_is_that_of_nsupdate() -> None:
    for text in (f"acme.example.org:{TEXT}", f'key acme.example.org {{ secret "{TEXT}"; }};'):
        assert parse_tsig_key(text).algorithm is TsigAlgorithm.HMAC_SHA256


def test_a_secret_alone_has_the_name_that_is_given() -> None:
    key = parse_tsig_key(f"# from the provider\n{TEXT}\n", Domain("acme"))
    assert key == TsigKey(Domain("acme"), TsigAlgorithm.HMAC_SHA256, SECRET)
    assert parse_tsig_key(FORMS["nsupdate -y"], Domain("acme")) == KEY
    # No comment, though BIND would take it for one.
    assert parse_tsig_key("////", Domain("acme")).secret == b"\xff\xff\xff"


WRONG = {
    "": "empty",
    "# only a comment\n": "empty",
    TEXT: "no name of the key",
    f"hmac-md5:acme:{TEXT}": "algorithm is none of hmac-sha256, hmac-sha384, hmac-sha512",
    f"hmac-sha1:acme:{TEXT}": "algorithm is none of",
    f"{TEXT}:acme:hmac-sha256": "algorithm is none of",
    f"a:b:c:{TEXT}": "ALGORITHM:NAME:SECRET",
    "acme:not base64": "not one key",
    "acme:n0tbase64!": "not base64",
    "acme:": "1 to 1024 octets",
    f"acme:{b64encode(bytes(MAX_SECRET_OCTETS + 1)).decode()}": "1 to 1024 octets",
    f"a..b:{TEXT}": "no domain name",
    f'key a {{ secret "{TEXT}; }};': "quotation mark",
    f'key a {{ secret "{TEXT}" }};': "each statement",
    f'key a {{ secret "{TEXT}"; secret "{TEXT}"; }};': "more than one key",
    f'key a {{ secret "{TEXT}"; }}; key b {{ secret "{TEXT}"; }};': "each statement",
    f'key a {{ secret "{TEXT}"; owner me; }};': "nothing else",
    "key a { algorithm hmac-sha256; };": "no secret",
    f'keys a {{ secret "{TEXT}"; }};': "not one key",
    f"key:\n- id: a\n  secret: {TEXT}\n- id: b\n  secret: {TEXT}\n": "more than one key",
    f"key:\n- id: a\n  secret: {TEXT}\n  owner: me\n": "Knot's form",
    "key:\n- id: a\n": "no secret",
    " " * (MAX_KEY_FILE_CHARACTERS + 1): "more than 10000",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_key_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(TsigKeyError) as caught:
        parse_tsig_key(text)
    assert WRONG[text] in str(caught.value)
    assert TEXT not in str(caught.value)


def test_a_secret_is_never_shown() -> None:
    assert "ff" not in repr(KEY)
    assert TEXT not in repr(KEY)
    assert "secret" not in repr(KEY)
