"""What the settings of certificates name and can't be used: told with its key, before a start."""

import grp
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from letterlock.base.config.certificates import Authority, CertificatesSection, Export
from letterlock.base.config.dns_changes import DnsChangeMethod, DnsChangesSection
from letterlock.base.config.faults import SettingFault
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.node.certificate_faults import find_certificate_faults, find_waiting_certificates
from letterlock.node.faults import find_faults

MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
ONE = Authority("https://one.example/directory")


def make(
    *authorities: Authority, changes: DnsChangesSection | None = None, **section: object
) -> Config:
    certificates = CertificatesSection(authorities or (ONE,), **section)  # type: ignore[arg-type]  # by name
    return Config(
        hostname=Domain("mx1.example.org"),
        domains=(Domain("example.org"),),
        contact="postmaster@example.org",
        data_dir=Path("/nonexistent"),
        certificates=certificates,
        dns_changes=changes or DnsChangesSection(),
    )


def told(faults: Sequence[SettingFault]) -> dict[str, str]:
    return {".".join(map(str, fault.key)): fault.message for fault in faults}


def test_settings_that_can_be_used_have_no_fault(tmp_path: Path) -> None:
    mac, tsig = tmp_path / "mac", tmp_path / "tsig"
    mac.write_text(f"{MAC_KEY}\n")
    tsig.write_text("hmac-sha256:update.example.org:c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\n")
    for path in (mac, tsig):
        path.chmod(0o600)
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o700)
    own = grp.getgrgid(os.getgid()).gr_name
    config = make(
        replace(ONE, eab_key_id="one", eab_key_file=mac),
        changes=DnsChangesSection(DnsChangeMethod.UPDATE, key_file=tsig, hook=hook),
        webroot=tmp_path,
        export=(Export(tmp_path / "not" / "yet", group=own, hook=hook),),
    )
    assert find_certificate_faults(config) == []
    assert list(find_waiting_certificates(config)) == []


def test_keys_of_external_accounts_are_read_before_a_start(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("c2hvcnQ")
    config = make(
        ONE,
        replace(ONE, eab_key_id="one", eab_key_file=tmp_path / "missing"),
        replace(ONE, eab_key_id="two", eab_key_file=short),
    )
    assert told(find_certificate_faults(config)) == {
        "certificates.authorities.1.eab_key_file": f"{tmp_path}/missing: No such file or directory",
        "certificates.authorities.2.eab_key_file": (
            f"{short}: a MAC key is base64url of at least 16 octets"
        ),
    }
    assert find_faults(config) == find_certificate_faults(config)


def test_the_key_for_updates_is_read_before_a_start(tmp_path: Path) -> None:
    key = tmp_path / "tsig"
    changes = DnsChangesSection(DnsChangeMethod.UPDATE, key_file=key)
    faults = told(find_certificate_faults(make(changes=changes)))
    assert list(faults) == ["dns_changes.key_file"]
    key.write_text("no key")
    key.chmod(0o600)
    faults = told(find_certificate_faults(make(changes=changes)))
    assert list(faults) == ["dns_changes.key_file"]
    assert str(key) in faults["dns_changes.key_file"]


def test_a_group_that_is_not_there_is_found_before_a_start(tmp_path: Path) -> None:
    exports = (Export(tmp_path), Export(tmp_path, group="no-such-group"))
    assert told(find_certificate_faults(make(export=exports))) == {
        "certificates.export.1.group": "there is no group 'no-such-group'"
    }


def test_folders_and_programs_may_come_later(tmp_path: Path) -> None:
    """The node starts without them: only one certificate or one export waits."""
    plain = tmp_path / "plain"
    plain.write_text("")
    config = make(
        replace(ONE, trust_file=plain),
        changes=DnsChangesSection(DnsChangeMethod.EXEC, hook=tmp_path),
        webroot=tmp_path / "missing",
        export=(Export(plain, hook=plain), Export(plain / "x", hook=tmp_path / "missing")),
    )
    assert find_certificate_faults(config) == []
    faults = told(list(find_waiting_certificates(config)))
    assert str(plain) in faults.pop("certificates.authorities.0.trust_file")
    missing = "No such file or directory"
    is_it = "not a program that this user may run; is it executable?"
    assert faults == {
        "certificates.webroot": f"{tmp_path}/missing: {missing}",
        "certificates.export.0.folder": f"{plain}: not a folder",
        "certificates.export.0.hook": f"{plain}: {is_it}",
        "certificates.export.1.folder": f"{plain}: not a folder",
        "certificates.export.1.hook": f"{tmp_path}/missing: {missing}",
        "dns_changes.hook": f"{tmp_path}: {is_it}",
    }


def test_a_folder_that_we_may_not_write_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every folder is ours."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    (fault,) = find_waiting_certificates(make(webroot=tmp_path))
    assert fault.message == f"{tmp_path}: this user may not write there"


def test_without_authorities_nothing_is_looked_at(tmp_path: Path) -> None:
    changes = DnsChangesSection(DnsChangeMethod.UPDATE, key_file=tmp_path / "missing")
    config = make(changes=changes, export=(Export(tmp_path, group="no-such-group"),))
    config = replace(config, certificates=replace(config.certificates, authorities=()))
    assert find_certificate_faults(config) == []
    assert list(find_waiting_certificates(config)) == []
