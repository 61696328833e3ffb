"""`letterlock init` and `letterlock config`."""

import json
import os
import pwd
import re
import stat
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from letterlock.base.clock import Clock
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.cli import init as init_module
from letterlock.cli.root import main
from letterlock.network import own_addresses
from letterlock.node import first_look
from letterlock.node.account import explain_root
from letterlock.services.publish.first_look import Remark

ADDRESS, PRIVATE = ip_address("198.41.0.7"), ip_address("fd00::7")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no account be there, whatever machine this is."""
    monkeypatch.setattr(init_module, "ACCOUNT", "no-one-here")


@pytest.fixture
def made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder in which `init` was run."""
    assert main(["init", "example.org", "--offline", "--dir", str(tmp_path / "etc")]) == 0
    capsys.readouterr()
    return tmp_path / "etc"


def test_what_init_writes_is_fine(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(made / "letterlock.toml")
    assert main(["config", "check", "--config", file]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{file}: fine"


def test_key_is_readable_for_its_owner_only(made: Path) -> None:
    assert stat.S_IMODE((made / "key.pem").stat().st_mode) == 0o600


def test_certificate_names_the_host(made: Path) -> None:
    certificate = x509.load_pem_x509_certificate((made / "certificate.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mx1.example.org"]


def test_init_with_acme_leaves_the_certificate_to_the_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "x"
    words = ["init", "example.org", "--offline", "--dir", str(folder), "--acme", "letsencrypt"]
    assert main([*words, "--agree-to-terms"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["dns-records.txt", "letterlock.toml"]
    config = parse_config((folder / "letterlock.toml").read_text(), folder / "letterlock.toml")
    (authority,) = config.certificates.authorities
    assert authority.directory == "https://acme-v02.api.letsencrypt.org/directory"
    assert authority.agree_to_terms
    assert config.tls.certificates == ()
    assert " IN TLSA " not in capsys.readouterr().out


def test_init_takes_any_authority_and_no_terms_for_granted(tmp_path: Path) -> None:
    words = [
        "init",
        "--offline",
        "example.org",
        "--dir",
        str(tmp_path / "x"),
        "--acme",
        "https://ca.example/dir",
    ]
    assert main(words) == 0
    path = tmp_path / "x" / "letterlock.toml"
    (authority,) = parse_config(path.read_text(), path).certificates.authorities
    assert (authority.directory, authority.agree_to_terms) == ("https://ca.example/dir", False)


def test_files_are_looked_at_as_the_node_reads_them(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only root can read is no use to `node.user`."""
    if os.geteuid() != 0:
        pytest.skip("only root can look as another user")
    made.chmod(0o700)
    path = made / "letterlock.toml"
    path.write_text(path.read_text().replace('# user = ""', 'user = "nobody"'))
    groups = os.getgroups()
    assert main(["config", "check", "--config", str(path)]) == 2
    said = capsys.readouterr().err
    assert "tls.certificates[1].certificate: " in said
    assert said.endswith("/certificate.pem: Permission denied; nobody must be able to read it\n")
    assert (os.geteuid(), os.getgroups()) == (0, groups)


def test_user_that_is_not_there_is_a_mistake(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made / "letterlock.toml"
    path.write_text(path.read_text().replace('# user = ""', 'user = "no-one-here"'))
    assert main(["config", "check", "--config", str(path)]) == 2
    assert capsys.readouterr().err.endswith("node.user: there is no user 'no-one-here'\n")


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ([], "1. [local]: name the mailboxes of example.org; "),
        (["--acme", "letsencrypt", "--agree-to-terms"], "1. [local]: "),
        (["--acme", "letsencrypt"], "1. [certificates]: agree_to_terms = true, "),
    ],
)
def test_init_says_what_is_left_to_do(
    words: list[str], first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without terms agreed to no authority gives a certificate (RFC 8555 §7.3)."""
    assert main(["init", "example.org", "--offline", "--dir", str(tmp_path), *words]) == 0
    steps = re.findall(r"(?m)^[0-9]\. .*", capsys.readouterr().out)
    assert steps[0].startswith(first)
    assert steps[-3] == f"{len(steps) - 2}. letterlock serve --config {tmp_path}/letterlock.toml"
    assert steps[-1].split(". ")[1].startswith("letterlock check example.org ")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, bool]]:
    """Give what this host was looked at with; there is one thing to look at, and an address."""
    looks: list[tuple[Config, bool]] = []

    def look(config: Config, clock: Clock, *, is_new: bool) -> tuple[Remark, ...]:
        del clock
        looks.append((config, is_new))
        return (Remark("ptr-missing", f"{ADDRESS} has no reverse name", "have it set"),)

    monkeypatch.setattr(first_look, "run", look)
    monkeypatch.setattr(own_addresses, "find_outgoing_addresses", lambda: (ADDRESS, PRIVATE))
    return looks


def test_init_looks_at_the_host_and_says_what_to_look_at(
    looks: list[tuple[Config, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §4.1.4: the addresses that it finds are among the records, as are their names."""
    words = ["init", "example.org", "--dir", str(tmp_path), "--resolver", "192.0.2.53"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "looking at this host" in said.err
    assert (
        "Look at this:\n\n- ptr-missing: 198.41.0.7 has no reverse name\n  do: have it" in said.out
    )
    assert "\nmx1.example.org. 3600 IN A 198.41.0.7\n" in said.out
    assert str(PRIVATE) not in said.out
    ((config, is_new),) = looks
    assert (config.hostname, str(config.dns.resolver), is_new) == (
        "mx1.example.org",
        "192.0.2.53:53",
        True,
    )


def test_init_has_what_to_look_at_in_its_json(
    looks: list[tuple[Config, bool]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "example.org", "--dir", str(tmp_path / "a"), "--json"]) == 0
    (remark,) = json.loads(capsys.readouterr().out)["remarks"]
    assert remark == {
        "code": "ptr-missing",
        "text": "198.41.0.7 has no reverse name",
        "fix": "have it set",
    }
    words = ["init", "example.org", "--dir", str(tmp_path / "b"), "--json", "--offline"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["remarks"] == []
    assert not [line for line in answer["records"] if " IN A " in line]
    assert len(looks) == 1


def test_check_looks_at_the_host_where_it_is_asked_to(
    looks: list[tuple[Config, bool]], made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is found there is no mistake in the file."""
    words = ["config", "check", "--config", str(made / "letterlock.toml")]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"] == []
    assert main([*words, "--outside", "--json"]) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["remarks"]] == [
        "ptr-missing"
    ]
    assert main([*words, "--outside", "--resolver", "192.0.2.53:5353"]) == 0
    assert "- ptr-missing: 198.41.0.7 has no reverse name\n  do: " in capsys.readouterr().out
    assert [(str(each.dns.resolver), is_new) for each, is_new in looks] == [
        ("None", False),
        ("192.0.2.53:5353", False),
    ]


@pytest.mark.parametrize(
    ("user", "is_root", "is_told"),
    [(None, True, True), (None, False, False), ("nobody", True, False)],
)
def test_a_node_that_would_stay_root_is_told_of(
    user: str | None,
    *,
    is_root: bool,
    is_told: bool,
    made: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = parse_config((made / "letterlock.toml").read_text(), made / "letterlock.toml")
    config = replace(config, node=replace(config.node, user=user))
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else 1000)
    assert ("node.user is not set" in explain_root(config)) is is_told


@pytest.mark.parametrize("is_root", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_init_has_root_start_the_node_as_its_account(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_root: bool,
    is_there: bool,
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0 if is_root else os.getuid() or 1000)
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    daemon = pwd.getpwnam("daemon")
    if is_there:
        monkeypatch.setattr(init_module, "ACCOUNT", daemon.pw_name)
    assert main(["init", "example.org", "--offline", "--dir", str(tmp_path / "x")]) == 0
    path = tmp_path / "x" / "letterlock.toml"
    assert parse_config(path.read_text(), path).node.user == (
        "daemon" if is_root and is_there else None
    )
    # The key is for the node's eyes, and for nobody else's.
    assert given == ([(daemon.pw_uid, daemon.pw_gid)] if is_root and is_there else [])
    assert ("[node]: user = " in capsys.readouterr().out) is (is_root and not is_there)


def test_init_names_the_authorities_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["init", "example.org", "--dir", str(tmp_path / "x"), "--acme", "lets"]
    assert main(words) == 2
    assert "--acme 'lets': must be one of letsencrypt, " in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_init_gives_the_records_to_publish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "x")
    arguments = ["init", "Bücher.example", "--dir", folder, "--hostname", "mail.example.org"]
    assert main([*arguments, "--offline", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    tlsa = answer["records"].pop()
    assert re.fullmatch(r"_25\._tcp\.mail\.example\.org\. 3600 IN TLSA 3 1 1 [0-9a-f]{64}", tlsa)
    domain, reports = "xn--bcher-kva.example", "mailto:postmaster@xn--bcher-kva.example"
    assert answer["records"] == [
        f"{domain}. 3600 IN MX 10 mail.example.org.",
        f'{domain}. 3600 IN TXT "v=spf1 mx -all"',
        'mail.example.org. 3600 IN TXT "v=spf1 a -all"',
        f'_dmarc.{domain}. 3600 IN TXT "v=DMARC1; p=none; rua={reports}"',
        f'_smtp._tls.{domain}. 3600 IN TXT "v=TLSRPTv1; rua={reports}"',
        f'_smtp._tls.mail.example.org. 3600 IN TXT "v=TLSRPTv1; rua={reports}"',
    ]
    assert "IN MX 10 mail.example.org." in (tmp_path / "x" / "dns-records.txt").read_text()
    assert answer["files"][0] == f"{folder}/letterlock.toml"


@pytest.mark.parametrize(
    "name", ["letterlock.toml", "key.pem", "certificate.pem", "dns-records.txt"]
)
def test_init_overwrites_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["init", "example.org", "--dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"letterlock: {tmp_path / name}: is there already")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["a..b"], "DOMAIN 'a..b'"), (["a.b", "--hostname", "c..d"], "--hostname 'c..d'")],
)
def test_init_refuses_what_is_no_domain(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", *arguments, "--dir", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err == (f"letterlock: {named}: '' is not a label of a domain name\n")
    assert not (tmp_path / "x").exists()


def test_init_says_where_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["init", "example.org", "--dir", str(tmp_path / "file" / "x")]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_system_configuration_keeps_its_data_elsewhere() -> None:
    text = init_module.format_config(Path("/etc/letterlock"), "example.org", "mx1.example.org", {})
    assert 'data_dir = "/var/lib/letterlock"' in text


def test_check_shows_every_mistake_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.toml"
    file.write_text('hostname = "a.example"\ndomains = ["b.example"]\ncontact = 1\ndatadir = "x"\n')
    assert main(["config", "check", "--config", str(file)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"letterlock: {file}:1:1: data_dir: must be given",
        f"letterlock: {file}:3:1: contact: must be a text in quotes, not 1",
        f"letterlock: {file}:4:1: datadir: is not a setting; did you mean data_dir?",
    ]


def test_check_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.toml"
    file.write_text("x = \n")
    assert main(["config", "check", "--config", str(file), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["file"] == str(file)
    assert answer["errors"] == [{"line": 1, "column": 5, "key": "", "message": "Invalid value"}]
    assert answer["notes"] == []


def test_check_tells_of_exceptions_that_have_ended_and_finds_no_fault_in_them(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check that fails from some day on would keep a node from starting that day."""
    file = made / "letterlock.toml"
    entry = '[policy.hops."a.example"]\nlevel = "may"\nreason = "old key"\nuntil = {}\n'
    text = file.read_text()
    file.write_text(text + entry.format("2020-02-29"))
    assert main(["config", "check", "--config", str(file)]) == 0
    # Of root there is a note besides.
    note, *_, fine = capsys.readouterr().out.splitlines()
    assert 'policy.hops."a.example": ended on 2020-02-29' in note
    assert fine == f"{file}: fine"
    assert main(["config", "check", "--config", str(file), "--json"]) == 0
    told, *_ = json.loads(capsys.readouterr().out)["notes"]
    assert note == f"note: {told}"
    file.write_text(text + entry.format('"9999-12-31"'))
    assert main(["config", "check", "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "ended on" not in said
    assert said.endswith(f"{file}: fine\n")


def test_check_finds_files_that_cannot_be_used(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (made / "key.pem").write_text("nonsense")
    file = made / "letterlock.toml"
    text = file.read_text().replace("# trust_files = []", 'trust_files = ["none.pem"]')
    file.write_text(text)
    assert main(["config", "check", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    place = rf"letterlock: {file}:\d+:\d+: "
    key = rf"tls\.certificates\[1\]\.key: {made / 'key.pem'}: "
    assert re.match(place + key, lines[0])
    missing = rf"policy\.trust_files\[1\]: {made / 'none.pem'}: No such file or directory"
    assert re.fullmatch(place + missing, lines[1])


@pytest.mark.parametrize(
    ("commented", "wrong", "line"),
    [
        ('# ciphers = ""', 'ciphers = "FOO"', "tls.ciphers: no usable cipher in the list 'FOO'"),
        ('# user = ""', 'user = "no such"', "node.user: there is no user 'no such'"),
        (
            '# engine = "sqlite"',
            'engine = "postgres"\nurl = "mysql://u:hunter2@h/x"',
            "queue.url: must be postgresql://user@host/name",
        ),
        (
            '# engine = "sqlite"',
            'engine = "postgres"\nurl = "postgresql://u:hunter2@[h/x"',
            "queue.url: must be postgresql://user@host/name",
        ),
    ],
)
def test_check_finds_what_serve_would_not_start_with(
    made: Path, commented: str, wrong: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "letterlock.toml"
    text = file.read_text()
    assert commented in text
    text = text.replace(commented, wrong)
    file.write_text(text)
    assert main(["config", "check", "--config", str(file)]) == 2
    key = line.partition(":")[0].partition(".")[2]
    place = text.splitlines().index(next(x for x in text.splitlines() if x.startswith(key))) + 1
    assert capsys.readouterr().err == f"letterlock: {file}:{place}:1: {line}\n"


def test_check_finds_wrong_entries_of_the_policy_tables(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "letterlock.toml"
    (made / "tls_policy").write_text("example.net nonsense\n")
    text = file.read_text().replace('# postfix_table = ""', 'postfix_table = "tls_policy"')
    file.write_text(text + '[policy.hops."example.com"]\nlevel = "nonsense"\n')
    line = text.count("\n") + 1
    assert main(["config", "check", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    entry = f'letterlock: {file}:{line}:14: policy.hops."example.com": '
    assert lines[0].startswith(f"{entry}'nonsense' is not a level")
    assert lines[0].endswith("; mail for example.com waits")
    assert lines[1].startswith(f"letterlock: {made / 'tls_policy'}:1")


def test_check_finds_what_is_wrong_in_tables(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, aliases = made / "letterlock.toml", made / "aliases"
    aliases.write_text("team: alice\nnonsense\npipe: |cmd\n")
    text = file.read_text().replace('# aliases = ""', 'aliases = "aliases"')
    file.write_text(text.replace('# transport = ""', 'transport = "gone"'))
    assert main(["config", "check", "--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"letterlock: {aliases}:2: nonsense is not `name: value`"
    assert lines[1].startswith(f"letterlock: {aliases}:3: pipe: a command (|cmd) is not run")
    assert lines[2:] == [f"letterlock: {made / 'gone'}: No such file or directory"]


def test_check_finds_a_mail_store_that_is_none(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "letterlock.toml"
    file.write_text(file.read_text().replace('# lmtp = ""', 'lmtp = "unix:private/lmtp"'))
    assert main(["config", "check", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("local.lmtp: unix: needs the whole path of a socket, not 'private/lmtp'")


def test_check_finds_a_policy_table_that_cannot_be_read(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "letterlock.toml"
    text = file.read_text().replace('# postfix_table = ""', 'postfix_table = "gone"')
    file.write_text(text)
    assert main(["config", "check", "--config", str(file), "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error == {
        "line": text.splitlines().index('postfix_table = "gone"') + 1,
        "column": 1,
        "key": "policy.postfix_table",
        "message": f"{made / 'gone'}: No such file or directory; "
        "mail for all other next hops waits",
    }


def test_check_finds_all_that_is_wrong_at_once(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = made / "letterlock.toml"
    text = file.read_text()
    for old, new in (
        ('# user = ""', 'user = "no such"'),
        ('# ciphers = ""', 'ciphers = "FOO"'),
        ('# client_certificate = ""', 'client_certificate = "a"'),
        ('# client_key = ""', 'client_key = "b"'),
    ):
        assert old in text
        text = text.replace(old, new)
    (made / "certificate.pem").unlink()
    file.write_text(text)
    assert main(["config", "check", "--config", str(file), "--json"]) == 2
    keys = [error["key"] for error in json.loads(capsys.readouterr().out)["errors"]]
    assert keys == [
        "node.user",
        "tls.certificates[1].certificate",
        "tls.ciphers",
        "deliver.client_certificate",
    ]


def test_show_lists_what_is_not_the_default(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = made / "letterlock.toml"
    file.write_text(file.read_text().replace('# lifetime = "5d"', 'lifetime = "3d"'))
    assert main(["config", "show", "--config", str(file), "--non-default"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert 'queue.lifetime = "3d"' in lines
    assert len(lines) == 6
    assert main(["config", "show", "--config", str(file), "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["receive.max_message_bytes"] == '"50MiB"'
    assert settings["deliver.timeouts.connect"] == '"30s"'
