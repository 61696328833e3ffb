"""What certificates are watched with follows from the settings."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from letterlock.base.config.certificates import Authority, CertificatesSection
from letterlock.base.config.choices import TlsVersion
from letterlock.base.config.inbound import CertificateFiles, TlsSection
from letterlock.base.config.publishing import OwnPolicySection, PublishingSection
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.network.http_client import HttpClient
from letterlock.node.certificate_stores import make_stores
from letterlock.node.certificates import make_exporting
from letterlock.node.watching import make_watch
from letterlock.services.certify.watching import WatchTools
from letterlock.storage.issued import KEPT_AFTER_END
from tests.fakes import FakeClock, FakeLog, FixtureResolver

PUBLIC = Authority("https://public.example/directory")
OWN = Authority("https://own.example/directory", trust_file=Path("/etc/own.pem"))
CONFIG = Config(
    hostname=Domain("mx1.example.org"),
    domains=(Domain("example.org"),),
    contact="postmaster@example.org",
    data_dir=Path("/nonexistent"),
    certificates=CertificatesSection((PUBLIC, OWN)),
)


def make(config: Config) -> WatchTools:
    clock = FakeClock()
    stores = make_stores(config, "node", clock)
    exporting = make_exporting(config, stores, FakeLog())
    return make_watch(config, stores.watched, exporting, FixtureResolver(), clock)


def test_only_an_authority_of_ones_own_may_be_inside_a_private_network() -> None:
    """RFC 6890: a certificate says where its CRL is, and may not send us to any host."""
    revocations = make(CONFIG).revocations
    assert list(revocations._askers) == [OWN.directory]
    askers = (revocations._askers[OWN.directory], revocations._asker)
    assert [
        isinstance(each, HttpClient) and each._hosts._has_private_addresses for each in askers
    ] == [True, False]


def test_what_was_issued_is_remembered_for_as_long_as_a_key_is_used() -> None:
    """Else a key would never be old enough to be changed."""
    for every, kept in ((timedelta(days=30), KEPT_AFTER_END), (timedelta(days=365),) * 2):
        section = replace(CONFIG.certificates, roll_over_every=every)
        assert make(replace(CONFIG, certificates=section)).kept_after_end == kept


def test_policy_hosts_are_looked_at_where_policies_are_served() -> None:
    pair = CertificateFiles(Path("own.pem"), Path("own.key"))
    policies = OwnPolicySection(domains=(Domain("example.org"),))
    config = replace(
        CONFIG,
        publishing=PublishingSection(mta_sts=policies),
        tls=TlsSection((pair,), min_version=TlsVersion.TLS_1_3),
    )
    servers = make(config).servers
    assert servers.policy_names == {"mta-sts.example.org"}
    assert servers.policies == config.publishing.mta_sts.listen
    assert servers.smtp == config.receive.listen
    assert servers.configured == (Path("own.pem"),)
    assert not servers.has_tls_1_2
    assert make(CONFIG).servers.has_tls_1_2
