"""Loading letterlock.toml: all errors at once, each with its place; nothing secret in them."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.config import load
from letterlock.base.config.choices import AddressFamily, DefaultLevel, QueueEngine
from letterlock.base.config.faults import SettingFault, SettingFaults, refuse_setting
from letterlock.base.config.load import (
    MAX_FILE_OCTETS,
    ConfigErrors,
    FoundConfig,
    find_config,
    load_config,
    parse_config,
)
from letterlock.base.config.outbound import DeliverSection
from letterlock.base.config.sections import Config
from letterlock.base.config.values import ListenAddress, NextHop
from letterlock.base.domains import Domain

FILE = Path("/etc/mail/letterlock.toml")
MINIMAL = """\
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
"""


def _errors(text: str) -> list[str]:
    """What is wrong with the minimal file and more; lines count from the first added one."""
    with pytest.raises(ConfigErrors) as caught:
        parse_config(MINIMAL + text, FILE)
    return [
        f"{error.line - 4}:{error.column}: {error.key}: {error.message}"
        for error in caught.value.errors
    ]


def test_four_lines_are_enough() -> None:
    config = parse_config(MINIMAL, FILE)
    assert config == Config(
        hostname=Domain("mx1.example.org"),
        domains=(Domain("example.org"),),
        contact="postmaster@example.org",
        data_dir=Path("/var/lib/letterlock"),
    )
    assert config.node.control_socket == Path("/var/lib/letterlock/run/control")
    assert config.local.mail_dir == Path("/var/lib/letterlock/mail")


def test_every_kind_of_value_is_read() -> None:
    config = parse_config(
        MINIMAL
        + """
        [receive]
        listen = ["127.0.0.1:2525"]
        max_message_bytes = "10MiB"
        idle_timeout = "1m30s"
        [tls]
        certificates = [ { certificate = "full.pem", key = "/keys/k.pem" } ]
        [queue]
        engine = "postgres"
        url_file = "secret"
        [deliver]
        routes = { "Example.COM" = "[mx.example.com]:26" }
        families = ["ipv4"]
        helo_ipv4 = "out.example.org"
        timeouts.connect = "5s"
        [policy]
        default_level = "encrypt"
        [log]
        format = "json"
        """,
        FILE,
    )
    assert config.receive.listen == (ListenAddress("127.0.0.1", 2525),)
    assert config.receive.max_message_bytes == 10 * 1024 * 1024
    assert config.receive.idle_timeout == timedelta(seconds=90)
    assert config.tls.certificates[0].certificate == Path("/etc/mail/full.pem")
    assert config.tls.certificates[0].key == Path("/keys/k.pem")
    assert config.queue.engine is QueueEngine.POSTGRES
    assert config.deliver.routes == {
        "example.com": NextHop("mx.example.com", 26, is_bracketed=True)
    }
    assert config.deliver.families == (AddressFamily.IPV4,)
    assert config.deliver.timeouts.connect == timedelta(seconds=5)
    assert config.deliver.timeouts.mail == DeliverSection().timeouts.mail
    assert config.policy.default_level is DefaultLevel.ENCRYPT


def test_a_loop_is_no_loop_before_a_hundred_hops() -> None:
    """RFC 5321 §6.3: "a large rejection threshold, normally at least 100 Received entries"."""
    assert DeliverSection().max_hops >= 100


def test_all_errors_come_at_once_with_their_places() -> None:
    text = """\
hostname = 5
domains = ["example.org", "exa mple.org", "example.org"]
contact = "me"
[recieve]
[receive]
listen = ["[::]:25", "localhost:25"]
max_recipients = 10
idle_timeout = "1m"
session_timeout = "60"
[queue]
lifetime = true
[queue.more]
[deliver]
routes = { "a.example" = "b..c" }
"""
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text, FILE)
    found = [(error.line, error.column, error.key) for error in caught.value.errors]
    assert (
        found
        == [
            (1, 1, "hostname"),
            (1, 1, "data_dir"),
            (2, 27, "domains[2]"),
            (3, 1, "contact"),
            (4, 2, "recieve"),
            (6, 22, "receive.listen[2]"),
            (7, 1, "receive.max_recipients"),
            (9, 1, "receive.session_timeout"),
            (11, 1, "queue.lifetime"),
            (12, 8, "queue.more"),
            (14, 12, 'deliver.routes."a.example"'),
        ]
        or sorted(found) == found
    )


WRONG = [
    ("unknown = 1", "1:1: unknown: is not a setting"),
    ("[recieve]", "1:2: recieve: is not a setting; did you mean receive?"),
    ("[dns]\ntimeouts = 1", "2:1: dns.timeouts: is not a setting; did you mean timeout?"),
    ("[queue]\nlifetime = 5", '2:1: queue.lifetime: must be a duration such as "5m", not 5'),
    ("[queue]\nlifetime = '31d'", '2:1: queue.lifetime: must be from 1m to 30d, not "31d"'),
    ("[node]\nworkers = true", "2:1: node.workers: must be a whole number, not true"),
    ("[node]\nworkers = 1.5", "2:1: node.workers: must be a whole number, not 1.5"),
    ("[node]\nworkers = -1", "2:1: node.workers: must be from 0 to 256, not -1"),
    ("node = 1", "1:1: node: must be a table, not a number"),
    ("[[node]]", "1:3: node: must be a table, not an array"),
    ("[receive]\nrequire_tls = 'yes'", 'must be true or false, not "yes"'),
    ("[receive]\nlisten = '0.0.0.0:25'", "2:1: receive.listen: must be an array, not this text"),
    ("[receive]\nlisten = [25]", "2:11: receive.listen[1]: must be a text in quotes, not 25"),
    ("[receive]\nbare_newline = 'rejct'", 'must be "reject" or "normalize", not "rejct"'),
    ("[receive]\nmax_message_bytes = 1", "must be from 64KiB to 2GiB, not 1"),
    ("[receive]\nmax_message_bytes = 1.5", "must be a number of octets or a size"),
    ("[receive]\nrelay_from = ['0.0.0.0/0']", "0.0.0.0/0 would be an open relay"),
    ("[receive]\nrelay_from = ['2000::/3']", "2000::/3 would be an open relay"),
    ("[receive]\nbare_newline_exceptions = ['::/0']", "::/0 is too wide"),
    ("[receive]\nproxy_from = ['0.0.0.0/0']", "0.0.0.0/0 is too wide"),
    ("[receive]\nxclient_from = ['0.0.0.0/1']", "0.0.0.0/1 is too wide"),
    ("[receive]\nxforward_from = ['::/0']", "::/0 is too wide"),
    ("[submission]\nproxy_from = ['::/0']", "::/0 is too wide"),
    ("[submission]\nxclient_from = ['0.0.0.0/0']", "0.0.0.0/0 is too wide"),
    ("[receive]\nrequire_tls = true", "needs a certificate in tls.certificates"),
    ("[receive]\nsession_timeout = '1m'", "must not be less than idle_timeout (5m)"),
    ("[receive]\nlisten = ['[::]:25', '[::0]:25']", "2:22: receive.listen[2]: stands here twice"),
    ("[submission]\nenabled = true", "needs a certificate: tls.certificates, or certificates.auth"),
    (
        (
            "[submission]\nenabled = true\nlisten = []\nlisten_starttls = []\n"
            "[certificates]\nauthorities = [{directory = 'https://a.example/d'}]"
        ),
        "submission.enabled: needs addresses in listen or listen_starttls",
    ),
    (
        "[submission]\nlisten = ['0.0.0.0:465', '0.0.0.0:465']",
        "submission.listen[2]: stands here twice",
    ),
    (
        "[submission]\nlisten = ['0.0.0.0:25']",
        "submission.listen[1]: 0.0.0.0:25 is in receive.listen already",
    ),
    (
        "[submission]\nlisten = ['0.0.0.0:587']",
        "submission.listen_starttls[1]: 0.0.0.0:587 is in submission.listen already",
    ),
    ("[tls]\ncertificates = [{certificate = 'a'}]", "2:17: tls.certificates[1].key: must be given"),
    ("[tls]\nmin_version = 'TLSv1.1'", 'must be "TLSv1.2" or "TLSv1.3"'),
    ('[tls]\nciphers = "a\\u0007"', "must be a text of printable characters"),
    ("[local]\nmail_dir = ''", "must be the path of a file or folder"),
    ("[local]\nmail_dir = '~/mail'", 'must be a path written out, without "~", not "~/mail"'),
    ("[deliver]\nroutes = {'1.2.3.4' = 'a.example'}", "must be a domain name, whose last label is"),
    ("[deliver]\nhelo_ipv4 = '1.2.3.4'", "whose last label is not a number"),
    ("[local]\nmailboxes = ['../x']", "must be a mailbox such as"),
    ("[local]\nmailboxes = ['a@other.example']", "other.example is not in domains"),
    ("[local]\nmailboxes = ['a', 'A']", "2:19: local.mailboxes[2]: stands here twice"),
    ("[local]\npostmaster = 'a'", "a is not in mailboxes"),
    ("[queue]\nretry_max = '1m'", "must not be less than retry_min (5m)"),
    ("[queue]\nengine = 'postgres'", "needs url or url_file"),
    ("[queue]\nurl = 'postgresql:///x'", 'goes with engine = "postgres" only'),
    ("[queue]\nurl_file = 'x'", 'goes with engine = "postgres" only'),
    (
        "[queue]\nengine='postgres'\nurl='a'\nurl_file='b'",
        "4:1: queue.url_file: must not be given",
    ),
    ("[deliver]\nclient_key = 'a'", "needs client_certificate and client_key, both"),
    ("[deliver]\nfamilies = []", 'must hold "ipv6", "ipv4" or both'),
    ("[deliver]\nfamilies = ['ipv4', 'ipv4']", "2:21: deliver.families[2]: stands here twice"),
    ("[deliver]\nroutes = []", "2:1: deliver.routes: must be a table, not an array"),
    ("[deliver]\nsource_ipv4 = '::1'", 'must be an IPv4 address, not "::1"'),
    ("[deliver]\nsource_ipv6 = '1.2.3.4'", 'must be an IPv6 address, not "1.2.3.4"'),
    ("[deliver]\nown_addresses = ['mx1']", "2:18: deliver.own_addresses[1]: must be an IP address"),
    ("[deliver]\nown_addresses = ['192.0.2.0/24']", "must be an IP address such as"),
    ("[deliver]\nclient_key = 1979-05-27", "must be a text in quotes, not a date"),
    ("[deliver.timeouts]\nconect = '1s'", "2:1: deliver.timeouts.conect: is not a setting"),
    ("[policy]\nhops = 3", "must be a table, not a number"),
    ("[policy.hops]\n'x.example' = 3", '2:1: policy.hops."x.example": must be a table'),
    ("[certificates]\nkey_types = []", "certificates.key_types: must hold at least one"),
    (
        "[certificates]\nnames = ['a.example', 'A.example']",
        "certificates.names[2]: stands here twice",
    ),
    (
        "[certificates]\nnames = ['*.a.example']",
        "certificates.names[1]: *.a.example: a wildcard can be proved by dns-01 only",
    ),
    (
        "[certificates]\nauthorities = [{directory = 'http://a.example/'}]",
        "certificates.authorities[1].directory: must be a URL such as",
    ),
    (
        "[certificates]\nauthorities = [{directory = 'https://a.example/', eab_key_id = 'k'}]",
        "certificates.authorities[1]: needs eab_key_id and eab_key_file, both",
    ),
    (
        "[certificates]\nchallenges = ['http-01', 'dns-01']",
        "certificates.challenges[2]: dns-01 needs a method in dns_changes",
    ),
    ("[dns_changes]\nmethod = 'exec'", 'dns_changes.hook: must be given with method = "exec"'),
    ("[certificates]\nauthorities = [{}]", "certificates.authorities[1].directory: must be given"),
    ("[dkim]\nalgorithms = []", 'dkim.algorithms: must hold "rsa"'),
    ("[dkim]\nalgorithms = ['rsa', 'rsa']", "dkim.algorithms[2]: stands here twice"),
    ("[dkim]\ndomains = ['a.example', 'a.example']", "dkim.domains[2]: stands here twice"),
    ("[dkim]\nselector = 'not one'", "must be a selector such as"),
    (f"[dkim]\nselector = '{'a' * 60}'", "must be a selector such as"),
    ("[dkim]\nnext_selector = 'mx1'", "must be another than selector (mx1)"),
    ("[dkim]\nselector = 'a'\nnext_selector = 'a-ed25519'", "must be another than selector (a)"),
    ("[dkim]\nselector = 'a-ed25519'\nnext_selector = 'a'", "must be another than selector (a-"),
    ("[publishing]\nmx_hosts = ['mx9.example.org']", "publishing.mx_hosts: must hold hostname"),
    (
        "[publishing]\nmx_hosts = ['mx1.example.org', 'MX1.example.org']",
        "publishing.mx_hosts[2]: stands here twice",
    ),
    ("[publishing]\ntls_reports = ['tls@example.org']", "must be an address for reports such as"),
    ("[publishing]\ntls_reports = ['mailto:a@b.c,mailto:d']", "must be an address for reports"),
    (
        "[publishing.mta_sts]\ndomains = ['other.example']",
        "publishing.mta_sts.domains[1]: other.example is not in domains",
    ),
    (
        "[publishing.mta_sts]\ndomains = ['example.org', 'example.org']",
        "publishing.mta_sts.domains[2]: stands here twice",
    ),
    ("[publishing.mta_sts]\ndomains = ['example.org']\nlisten = []", "must hold an address"),
    (
        "[publishing.mta_sts]\ndomains = ['example.org']\nmx = ['*.mx.example.org']",
        "publishing.mta_sts.mx: must list mx1.example.org, or others would not deliver to it",
    ),
    ("[publishing.mta_sts]\nmx = ['*']", "publishing.mta_sts.mx[1]: must be an MX host such as"),
    ("[publishing.mta_sts]\nmx = ['mx.*.example.org']", "must be an MX host such as"),
    ("[publishing.mta_sts]\nmode = 'on'", 'must be "testing", "enforce" or "none", not "on"'),
    ("[publishing.mta_sts]\nmax_age = '2000d'", "must be from 1h to 365d"),
    ("[dns]\nresolver = 'dns.example'", "must be an IP address"),
    ('"\\u0007" = 1', '1:1: "\\x07": is not a setting'),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text[:40] for text, _ in WRONG])
def test_each_mistake_has_its_one_error(text: str, error: str) -> None:
    (found,) = _errors(text)
    assert error in found


@pytest.mark.parametrize("domain", ["1.2.3.4", "1.2.3.4.", "mx.1", "25"])
def test_domain_that_ends_in_a_number_is_an_error(domain: str) -> None:
    """An address is none, and no top-level domain is a number."""
    with pytest.raises(ConfigErrors) as caught:
        parse_config(MINIMAL.replace("example.org", domain), FILE)
    assert {"hostname", "domains[1]"} <= {error.key for error in caught.value.errors}


def test_node_without_a_domain_is_an_error() -> None:
    """RFC 5321 §4.5.1: postmaster's mail must end somewhere."""
    with pytest.raises(ConfigErrors) as caught:
        parse_config(MINIMAL.replace('["example.org"]', "[]"), FILE)
    (error,) = caught.value.errors
    assert error.key == "domains"
    assert error.message == "must hold at least one domain"


def test_what_depends_on_a_wrong_key_is_no_second_error() -> None:
    found = _errors("[queue]\nretry_min = '4h'\nretry_max = 'x'\n")
    assert [error.split(": ")[1] for error in found] == ["queue.retry_max"]


def test_contradictions_are_found_although_a_required_key_is_missing() -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_config("[receive]\nrelay_from = ['0.0.0.0/0']\n", FILE)
    assert "receive.relay_from[1]" in [error.key for error in caught.value.errors]


def test_wrong_hop_entry_is_no_error_of_the_file() -> None:
    """Mail for its key waits; the file, and other mail, go (issue: a wrong entry is deferred)."""
    config = parse_config(
        MINIMAL + '[policy.hops."x.example"]\nlevel = "nonsense"\ntafile = ["ca.pem", 3]\n', FILE
    )
    hop = config.policy.hops["x.example"]
    assert hop.fields == {"level": "nonsense", "tafile": ["/etc/mail/ca.pem", 3]}
    assert hop.where == '/etc/mail/letterlock.toml:5:policy.hops."x.example"'


def test_single_trust_file_of_a_hop_is_made_absolute() -> None:
    config = parse_config(MINIMAL + '[policy]\nhops."x.example" = { tafile = "ca.pem" }\n', FILE)
    assert config.policy.hops["x.example"].fields["tafile"] == "/etc/mail/ca.pem"


@pytest.mark.parametrize("value", ['"hunter2\\u0007"', '["hunter2"]', "{ hunter = 'hunter2' }"])
def test_secret_is_in_no_error(value: str) -> None:
    (error,) = _errors(f"[queue]\nengine = 'postgres'\nurl = {value}\n")
    assert error.startswith("3:1: queue.url: must be")
    assert "hunter2" not in error


def test_secret_is_not_in_the_representation() -> None:
    config = parse_config(
        MINIMAL + "[queue]\nengine='postgres'\nurl='postgresql://u:hunter2@h/x'", FILE
    )
    assert config.queue.url is not None
    assert "hunter2" not in repr(config)


def test_database_address_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgresql://u:p@h/x\n\n")
    text = MINIMAL + "[queue]\nengine='postgres'\nurl_file='secret'"
    assert parse_config(text, tmp_path / "x.toml").queue.read_url() == "postgresql://u:p@h/x"
    assert parse_config(MINIMAL, FILE).queue.read_url() is None


@pytest.mark.parametrize(
    ("text", "place"),
    [("a = \n", (1, 5)), ("a = 1\nb = [1,\n", (3, 1)), ("a = 1\na = 2\n", (2, 6)), ("[x", (1, 3))],
)
def test_syntax_error_has_its_place(text: str, place: tuple[int, int]) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text, FILE)
    (error,) = caught.value.errors
    assert (error.line, error.column) == place
    assert "(at " not in error.message


def test_endless_nesting_is_an_error() -> None:
    with pytest.raises(ConfigErrors, match="nested too deep"):
        parse_config("a = " + "[" * 100_000 + "]" * 100_000, FILE)


@given(st.text())
def test_any_text_gives_a_config_or_errors(text: str) -> None:
    with pytest.raises(ConfigErrors):
        parse_config(text, FILE)


_KEYS = st.sampled_from(
    ["hostname", "domains", "receive", "queue", "policy", "hops", "listen", "x"]
)
_VALUES = st.recursive(
    st.sampled_from(["1", "true", "''", "'a'", "1.5", "1979-05-27", "'5m'", "'[::]:25'"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.dictionaries(_KEYS, inner, max_size=3).map(
            lambda table: "{" + ",".join(f"{key}={value}" for key, value in table.items()) + "}"
        )
    ),
    max_leaves=6,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_any_values_give_a_config_or_errors(table: dict[str, str]) -> None:
    text = "".join(f"{key} = {value}\n" for key, value in table.items())
    with pytest.raises(ConfigErrors):
        parse_config(text, FILE)


# Finding and reading the file


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"none\.toml: does not exist; .*letterlock init DOMAIN"):
        load_config(tmp_path / "none.toml")


def test_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_file_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "letterlock.toml"
    file.write_bytes(b"#" * (MAX_FILE_OCTETS + 1))
    with pytest.raises(ConfigErrors, match="larger than 1 MiB"):
        load_config(file)


def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigErrors, match="not a file"):
        load_config(tmp_path / "pipe")


def test_octets_that_are_no_utf8_have_their_place(tmp_path: Path) -> None:
    file = tmp_path / "letterlock.toml"
    file.write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(ConfigErrors, match=r"letterlock\.toml:2:6: is not UTF-8"):
        load_config(file)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of one's own, on a machine without a system-wide configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "SYSTEM_CONFIG", tmp_path / "etc.toml")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_named_file_is_taken() -> None:
    assert find_config(Path("x.toml")) == FoundConfig(Path("x.toml"))


def test_system_file_comes_before_that_of_the_current_folder(folder: Path) -> None:
    (folder / "letterlock.toml").touch()
    (folder / "etc.toml").touch()
    assert find_config() == FoundConfig(folder / "etc.toml")


def test_without_any_file_the_system_file_is_named(folder: Path) -> None:
    assert find_config() == FoundConfig(folder / "etc.toml")


def test_own_file_of_the_current_folder_is_taken(folder: Path) -> None:
    file = folder / "letterlock.toml"
    file.write_text(MINIMAL)
    file.chmod(0o644)
    assert find_config().load().hostname == "mx1.example.org"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_file_of_the_current_folder_that_others_can_write_is_refused(
    folder: Path, mode: int
) -> None:
    file = folder / "letterlock.toml"
    file.write_text(MINIMAL)
    file.chmod(mode)
    with pytest.raises(ConfigErrors, match="others can write to it"):
        find_config().load()


def test_file_of_the_current_folder_of_another_user_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "letterlock.toml"
    file.write_text(MINIMAL)
    file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigErrors, match="another user's"):
        find_config().load()


def test_link_in_the_current_folder_is_refused(folder: Path) -> None:
    (folder / "real.toml").write_text(MINIMAL)
    (folder / "letterlock.toml").symlink_to(folder / "real.toml")
    with pytest.raises(ConfigErrors, match="cannot be read"):
        find_config().load()


def test_settings_that_cannot_be_used_are_placed_as_the_file_is_now(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[tls]\ncertificates = [\n { certificate = 'a', key = 'b' },\n]\n")
    faults = SettingFaults(
        [
            SettingFault(("tls", "certificates", 0, "key"), "is gone"),
            SettingFault(("tls", "ciphers"), "none"),
            SettingFault(("policy", "hops", "example.com"), "wrong"),
        ]
    )
    assert str(faults).splitlines() == [
        "tls.certificates[1].key: is gone",
        "tls.ciphers: none",
        'policy.hops."example.com": wrong',
    ]
    assert str(FoundConfig(file).place(faults)).splitlines() == [
        f"{file}:3:23: tls.certificates[1].key: is gone",
        f"{file}:1:2: tls.ciphers: none",
        f'{file}:1:1: policy.hops."example.com": wrong',
    ]


@pytest.mark.parametrize("text", ["x = ", None])
def test_without_a_readable_file_only_the_file_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "a.toml"
    if text is not None:
        file.write_text(text)
    error = FoundConfig(file).place(refuse_setting(("node", "user"), "there is no such user"))
    assert str(error) == f"{file}: node.user: there is no such user"
