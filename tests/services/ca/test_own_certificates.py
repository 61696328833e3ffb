"""The certificate of the authority's own server is issued as all are, or not at all.

Baseline Requirements 4.3.1, 5.4.1.
"""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509

from letterlock.base.errors import LocalError
from letterlock.node.ca.own_certificate import make_own_profile
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import CertificateKind, Linter
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.services.ca.issuing.drafting import Drafter
from letterlock.services.ca.own_certificates import OWN_ACCOUNT, issue_own
from tests.authority_running import inner_authority

PROFILE = make_own_profile(NameRules())


@pytest.mark.parametrize("host", ["ca.example", "ca", "192.0.2.1", "2001:db8::1"])
async def test_it_is_kept_logged_and_for_its_host_alone(tmp_path: Path, host: str) -> None:
    async with inner_authority(tmp_path) as inner:
        pair = await issue_own(inner.assembled.tools, host, PROFILE)
        leaf = x509.load_pem_x509_certificate(pair.chain_pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(each.value) for each in names] == [host]
        assert pair.not_after - pair.not_before == timedelta(days=90) - timedelta(seconds=1)
        assert "PRIVATE" not in repr(pair)
        (listed,) = await inner.store.list_of_account(OWN_ACCOUNT, 0, 10)
        assert listed.issued.certificate.name.serial == leaf.serial_number
        order = listed.issued.certificate.order_id
        records = await inner.store.list_records_about(order, 0, 10)
        assert [each.kind for each in records] == ["lint", "serial", "signing"]
        # No serial number is left that would be put on a CRL.
        later = inner.clock.now() + timedelta(days=1)
        assert await inner.store.list_unused_serials(later, 10) == ()


async def test_a_fault_of_linting_is_the_end_of_it(tmp_path: Path) -> None:
    class Strict(Linter):
        def lint(self, der: bytes, kind: CertificateKind) -> LintRecord:
            return replace(super().lint(der, kind), faults=("error: not today",))

    async with inner_authority(tmp_path) as inner:
        tools = inner.assembled.tools
        strict = Drafter(tools.authority, tools.rules, Strict())
        with pytest.raises(LocalError, match=r"our own certificate for ca\.example: error: not"):
            await issue_own(replace(tools, drafter=strict), "ca.example", PROFILE)
        assert await inner.store.list_of_account(OWN_ACCOUNT, 0, 10) == ()
        assert await inner.store.list_records(0, 10, kind="serial") == ()


async def test_a_host_that_the_authority_is_not_for_is_refused(tmp_path: Path) -> None:
    rules = NameRules(permitted_networks=(ip_network("10.0.0.0/8"),))
    async with inner_authority(tmp_path) as inner:
        with pytest.raises(LocalError, match=r"our own certificate for ca\.example"):
            await issue_own(inner.assembled.tools, "ca.example", make_own_profile(rules))
