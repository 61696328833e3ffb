"""Linting before signing: another's eyes on each certificate, and nothing is issued against them.

RFC 5280 §4 and the Baseline Requirements (4.3.1.2, 7.1.2) as pkilint knows them; why pkilint, and
why once for each shape: docs/decisions/0008-pkilint.md. Only an authority that runs imports this
module: to load pkilint takes most of a second.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from types import MappingProxyType, SimpleNamespace

# pkilint has no types.
import publicsuffixlist
from pkilint import finding_filter, loader, validation  # type: ignore[import-untyped]
from pkilint.cabf import serverauth  # type: ignore[import-untyped]
from pkilint.cabf.serverauth.serverauth_constants import (  # type: ignore[import-untyped]
    CertificateType,
)
from pkilint.common import alternative_name  # type: ignore[import-untyped]
from pkilint.pkix import certificate  # type: ignore[import-untyped]

from letterlock.base.printable import make_line
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.shapes import find_shape

# Each of pkilint's validators of names reads the whole list of public suffixes, which is most of
# what it costs to make them. They only look into it: so all have one.
alternative_name.publicsuffixlist = SimpleNamespace(
    PublicSuffixList=cache(publicsuffixlist.PublicSuffixList)
)

MAX_SHAPES = 4096
"""Shapes that are remembered; then all are forgotten, and each is linted once more."""
MAX_FAULTS = 20
LINTER = f"pkilint {version('pkilint')}"

EXCUSED: Mapping[str, str] = MappingProxyType(
    {
        "cabf.serverauth.dv.common_name_attribute_present": (
            "not recommended, and there only where the profile asks for a common name"
        ),
    }
)
"""What no authority of ours is stopped by, and why."""

PRIVATE: Mapping[str, str] = MappingProxyType(
    {
        **EXCUSED,
        "cabf.internal_domain_name": "a private network has names of its own; the profile permits",
        "cabf.internal_ip_address": "a private network has addresses of its own",
        "cabf.serverauth.subscriber.authority_info_access_extension_absent": (
            "its servers send the chain, and there may be no place that all can reach"
        ),
        "cabf.serverauth.subscriber_missing_reserved_policy_oid": (
            "one with a policy of its own does not claim to keep the Baseline Requirements"
        ),
        "cabf.serverauth.ca.authority_info_access_extension_absent": "as for servers",
        "cabf.serverauth.ca.country_attribute_absent": "a private network need not be a company",
        "cabf.serverauth.ca.organization_name_attribute_absent": "as for the country",
        "cabf.serverauth.ca.incomplete_name_constraints": (
            "says nothing of directory names, which servers' certificates of ours never have"
        ),
    }
)
"""What is wrong to ask of an authority that only its own network trusts, and why."""


class CertificateKind(StrEnum):
    """Whose certificate it is: what the rules are."""

    SERVER = "server"
    ROOT = "root"
    AUTHORITY = "authority"
    CONSTRAINED_AUTHORITY = "constrained-authority"
    """One with name constraints."""


_TYPES = {
    CertificateKind.SERVER: CertificateType.DV_FINAL_CERTIFICATE,
    CertificateKind.ROOT: CertificateType.ROOT_CA,
    CertificateKind.AUTHORITY: CertificateType.INTERNAL_UNCONSTRAINED_TLS_CA,
    CertificateKind.CONSTRAINED_AUTHORITY: CertificateType.INTERNAL_CONSTRAINED_TLS_CA,
}


class Linter:
    """Lints drafts of certificates (DER), servers' once for each shape.

    `excuses` says which findings don't count, and why: EXCUSED or PRIVATE. All others from
    `WARNING` on are faults.
    """

    def __init__(self, excuses: Mapping[str, str] = EXCUSED) -> None:
        self._excuses = excuses
        self._known: dict[bytes, tuple[str, ...]] = {}

    def lint(self, der: bytes, kind: CertificateKind) -> LintRecord:
        """Lint a draft as what it is. Where the linter itself fails, that is a fault."""
        shape = find_shape(der) if kind is CertificateKind.SERVER else None
        if shape is None:
            return LintRecord(*self._lint(der, kind), LINTER)
        if (excused := self._known.get(shape)) is not None:
            return LintRecord((), excused, LINTER, shape.hex(), is_remembered=True)
        faults, excused = self._lint(der, kind)
        if not faults:
            self._remember(shape, excused)
        return LintRecord(faults, excused, LINTER, shape.hex())

    def _remember(self, shape: bytes, excused: tuple[str, ...]) -> None:
        if len(self._known) >= MAX_SHAPES:
            self._known.clear()
        self._known[shape] = excused

    def _lint(self, der: bytes, kind: CertificateKind) -> tuple[tuple[str, ...], tuple[str, ...]]:
        try:
            found = self._find(der, kind)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is signed
            return (f"the linter failed: {type(error).__name__}: {make_line(str(error))}",), ()
        faults = [line for code, line in found if code not in self._excuses]
        excused = dict.fromkeys(code for code, _ in found if code in self._excuses)
        lines = tuple(f"{code}: {self._excuses[code]}" for code in excused)
        return tuple(faults[:MAX_FAULTS]), lines

    def _find(self, der: bytes, kind: CertificateKind) -> list[tuple[str, str]]:
        """Give the code and a line for each finding of weight."""
        document = loader.load_der_certificate(der, "draft")
        results = _make_validator(_TYPES[kind]).validate(document.root)
        filters = serverauth.create_serverauth_finding_filters(_TYPES[kind])
        counted, _ = finding_filter.filter_results(filters, results)
        return [
            (each.finding.code, _describe(result, each))
            for result in counted
            for each in result.finding_descriptions
            if each.finding.severity <= validation.ValidationFindingSeverity.WARNING
        ]


@cache  # It takes a tenth of a second, and holds nothing of what it validates.
def _make_validator(type_: CertificateType) -> validation.ValidatorContainer:
    return certificate.create_pkix_certificate_validator_container(
        serverauth.create_decoding_validators(), serverauth.create_validators(type_)
    )


def _describe(
    result: validation.ValidationResult, found: validation.ValidationFindingDescription
) -> str:
    where = result.node.path if result.node is not None else "certificate"
    text = f": {make_line(found.message)}" if found.message else ""
    return f"{found.finding.severity.name.lower()} {found.finding.code} at {where}{text}"
