"""One entry of Postfix's `smtp_tls_policy_maps`, as a value and as the text that Postfix reads.

Postfix's postconf(5), smtp_tls_policy_maps. Which entry fits a destination is in `postfix_reply`;
reading files of such entries is in `postfix_table`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry
from letterlock.protocols.policy.tls_parameters import NO_WORDS, VERSIONS, CipherWords
from letterlock.protocols.tlsrpt.result_types import ResultType

MAX_POLICY_TEXT_OCTETS = 4096
"""Of a policy's own lines, which only reports show: with longer ones they are left out."""

# What is neither a separator nor begins or ends a group, within an attribute.
_WORD = re.compile(r"[^\s,{}]+\Z")
_LINE = re.compile(r"[\x21-\x7a\x7c\x7e](?:[\x20-\x7a\x7c\x7e]*[\x21-\x7a\x7c\x7e])?\Z")


@dataclass(frozen=True, slots=True)
class StsAttributes:
    """What Postfix 3.10 and later are told of an MTA-STS policy, for checks and for reports.

    `failure`: the hosts fail the policy whatever they show, and that is reported.
    """

    domain: Domain
    mx: tuple[str, ...]
    text: str | None = None
    failure: ResultType | None = None


@dataclass(frozen=True, slots=True)
class PostfixPolicy:
    """An entry. Words of `match` are Postfix's; an empty one means the level's default."""

    level: Level
    reason: str
    match: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    servername: str | None = None
    trust_files: tuple[str, ...] = ()
    protocols: str | None = None
    ciphers: CipherWords = NO_WORDS
    sts: StsAttributes | None = None


class NotExpressibleError(ValueError):
    """Postfix has no words for an entry; the message says which part it is."""


def make_table_policy(entry: TableEntry, reason: str, postfix: AskingPostfix) -> PostfixPolicy:
    """Say in Postfix's words what an entry of the operator's table says.

    Raises NotExpressibleError: an entry without one of its parts would be another, weaker one.
    """
    if entry.level is Level.NONE:
        return PostfixPolicy(Level.NONE, reason)
    if entry.cipher_words is None:
        raise NotExpressibleError(
            "ciphers: Postfix takes no list of ciphers here, only high or medium, and exclude"
        )
    for file in entry.trust_files:
        if not _WORD.match(file):
            raise NotExpressibleError(f"tafile: {file[:80]!r} has a character that separates words")
    return PostfixPolicy(
        entry.level,
        reason,
        match=entry.match,
        fingerprints=entry.fingerprints,
        # Ours sends one at every level; Postfix with DANE takes the TLSA base domain by itself.
        servername=entry.servername or ("hostname" if entry.level.is_tls_required else None),
        trust_files=entry.trust_files,
        protocols=_format_versions(entry, postfix),
        ciphers=entry.cipher_words,
    )


def format_policy(policy: PostfixPolicy, postfix: AskingPostfix) -> str:
    """Format an entry with the attributes that this Postfix knows."""
    words = [str(policy.level)]
    if policy.match:
        words.append(f"match={':'.join(policy.match)}")
    if policy.fingerprints:
        words.append(f"match={'|'.join(map(_format_fingerprint, policy.fingerprints))}")
    if policy.servername is not None and postfix.knows_servername:
        words.append(f"servername={policy.servername}")
    words += [f"tafile={file}" for file in policy.trust_files]
    if policy.protocols is not None:
        words.append(f"protocols={policy.protocols}")
    if policy.ciphers.grade is not None:
        words.append(f"ciphers={policy.ciphers.grade}")
    if policy.ciphers.excluded:
        words.append(f"exclude={':'.join(policy.ciphers.excluded)}")
    if policy.sts is not None and postfix.knows_policy_attributes:
        words += _format_sts(policy.sts)
    return " ".join(words)


def _format_sts(sts: StsAttributes) -> Iterator[str]:
    yield "policy_type=sts"
    yield f"policy_domain={sts.domain}"
    yield from (f"{{ policy_string = {line} }}" for line in _find_lines(sts.text))
    yield from (f"mx_host_pattern={pattern}" for pattern in sts.mx)
    if sts.failure is not None:
        yield f"policy_failure={sts.failure}"


def _find_lines(text: str | None) -> list[str]:
    """Give the lines of a policy; none when one of them could end its group, or there are many."""
    lines = [line.strip() for line in text.splitlines()] if text else []
    is_safe = all(_LINE.match(line) for line in lines)
    return lines if is_safe and len(text or "") <= MAX_POLICY_TEXT_OCTETS else []


def _format_fingerprint(fingerprint: str) -> str:
    digits = fingerprint.removeprefix("sha256:").upper()
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def _format_versions(entry: TableEntry, postfix: AskingPostfix) -> str:
    low = VERSIONS.index(entry.min_version)
    high = VERSIONS.index(entry.max_version) if entry.max_version else len(VERSIONS) - 1
    if postfix.knows_version_bounds:
        most = f":<={entry.max_version}" if entry.max_version else ""
        return f">={entry.min_version}{most}"
    return _exclude(["SSLv2", "SSLv3", *VERSIONS[:low], *VERSIONS[high + 1 :]])


def _exclude(versions: Iterable[str]) -> str:
    return ":".join(f"!{version}" for version in versions)
