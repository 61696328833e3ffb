"""Versions, cipher lists and options that our TLS contexts share, on both sides.

RFC 9325 §3 and §4 (what to use), RFC 8996 (what is gone), RFC 7435 §3 (why opportunistic TLS takes
more than that). Groups are OpenSSL's default, X25519MLKEM768 first.
"""

from typing import Any

from OpenSSL import SSL

from letterlock.base.errors import LocalError

VERSIONS = {
    "TLSv1": SSL.TLS1_VERSION,
    "TLSv1.1": SSL.TLS1_1_VERSION,
    "TLSv1.2": SSL.TLS1_2_VERSION,
    "TLSv1.3": SSL.TLS1_3_VERSION,
}
"""OpenSSL's names. SSL 2 and 3 can't be asked for (RFC 8996 §4)."""

RECOMMENDED_CIPHERS = (
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-CHACHA20-POLY1305"
)
"""TLS 1.2 with forward secrecy and AEAD only, in the client's order (RFC 9325 §4.2, §4.2.1)."""

OLD_CIPHERS = (
    "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"
    "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
    "AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA"
)
"""CBC, then RSA key transport: what RFC 9325 §4.1 says one SHOULD NOT use.

Where TLS is opportunistic the alternative is clear text, which protects from nobody (RFC 7435 §3):
these are offered last, and a peer that has better never ends up here. NULL, anonymous, export, RC4
and triple DES are in no list of ours (RFC 9325 §4.1).
"""

OPPORTUNISTIC_CIPHERS = f"{RECOMMENDED_CIPHERS}:{OLD_CIPHERS}"

SERVER_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    f"{OLD_CIPHERS}"
)
"""The server's order: the stronger first (RFC 9325 §4.2.1), ECDSA first as it costs us less."""


def check_ciphers(ciphers: str) -> None:
    """Raise LocalError for a list of TLS 1.2 ciphers without a cipher in it."""
    make_context(SSL.TLS_METHOD, "TLSv1.2", None, ciphers)


def make_context(
    method: int, min_version: str, max_version: str | None, ciphers: str
) -> SSL.Context:
    """Make a context with what both sides have in common.

    Raises LocalError for an unknown version or a cipher list without a cipher in it.
    """
    context = SSL.Context(method)
    context.set_min_proto_version(_find_version(min_version))
    if max_version is not None:
        context.set_max_proto_version(_find_version(max_version))
    # RFC 9325 §3.3 and §3.5: no compression; renegotiation has no use in SMTP.
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions are kept by tickets or not at all: a cache would be per process and per name.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    try:
        context.set_cipher_list(ciphers.encode("ascii"))
    except (SSL.Error, UnicodeError) as error:
        raise LocalError(f"no usable cipher in the list {ciphers!r}") from error
    return context


def use_signatures(context: SSL.Context, signatures: str) -> bool:
    """Take only these signatures, in OpenSSL's words; gives whether that could be done.

    pyOpenSSL has no public way. Should its inside change, all are taken, as without this.
    """
    try:
        lib: Any = getattr(SSL, "_lib")  # noqa: B009 - mypy: not exported
        inner: Any = context._context  # noqa: SLF001 - see above
        return bool(lib.SSL_CTX_set1_sigalgs_list(inner, signatures.encode("ascii")) == 1)
    except AttributeError:
        return False


def _find_version(name: str) -> int:
    version = VERSIONS.get(name)
    if version is None:
        raise LocalError(f"{name!r} is not a TLS version; there are {', '.join(VERSIONS)}")
    return version
