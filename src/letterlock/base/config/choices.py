"""Settings that are one of a few words. Which key takes which is in `sections`."""

from enum import StrEnum


class BareNewline(StrEnum):
    """What to do with a message that has CR or LF alone."""

    REJECT = "reject"
    NORMALIZE = "normalize"


class TlsVersion(StrEnum):
    """A version of TLS. Older ones must not be used (RFC 8996)."""

    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


class QueueEngine(StrEnum):
    """Where the queue is kept."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class AddressFamily(StrEnum):
    """A version of IP."""

    IPV6 = "ipv6"
    IPV4 = "ipv4"


class DnsBackend(StrEnum):
    """How DNS is asked."""

    STUB = "stub"
    LIBUNBOUND = "libunbound"


class ClearFallback(StrEnum):
    """When mail may go in clear after TLS failed, at level `may`."""

    AT_ONCE = "at-once"
    AFTER = "after"
    NEVER = "never"


class DefaultLevel(StrEnum):
    """The levels of the policy table that need no further attributes."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    DANE = "dane"
    DANE_ONLY = "dane-only"
    VERIFY = "verify"
    SECURE = "secure"


class PasswordsFor(StrEnum):
    """Which hosts a password of ours is said to."""

    PROVED = "proved"
    ENCRYPTED = "encrypted"


class Mechanism(StrEnum):
    """How to log in at another server: SASL's names (RFC 4422 §3.1), the strongest first."""

    SCRAM_SHA_256_PLUS = "SCRAM-SHA-256-PLUS"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


class LogFormat(StrEnum):
    """The shape of a log line."""

    POSTFIX = "postfix"
    JSON = "json"


class LogSink(StrEnum):
    """Where the log goes."""

    STDERR = "stderr"
    JOURNAL = "journal"
    SYSLOG = "syslog"
    FILE = "file"


class SyslogFormat(StrEnum):
    """The shape of what syslog gets."""

    BSD = "bsd"
    IETF = "ietf"


class Redaction(StrEnum):
    """How much of an address the log hides."""

    NONE = "none"
    LOCAL_PARTS = "local-parts"
    ADDRESSES = "addresses"


class LogLevel(StrEnum):
    """How much is logged."""

    NORMAL = "normal"
    VERBOSE = "verbose"


class ChallengeKind(StrEnum):
    """How a name is proved to an ACME server (RFC 8555 §8, RFC 8737 §3)."""

    HTTP = "http-01"
    ALPN = "tls-alpn-01"
    DNS = "dns-01"


class KeyKind(StrEnum):
    """A type of key."""

    ECDSA = "ecdsa"
    RSA = "rsa"


class MacKind(StrEnum):
    """An algorithm for the key of an external account (RFC 8555 §7.3.4)."""

    HS256 = "HS256"
    HS384 = "HS384"
    HS512 = "HS512"
