"""The example file and the reference page: both are made from the sections, and read back."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from letterlock.base import config as config_package
from letterlock.base.config.certificates import Authority, Export
from letterlock.base.config.choices import DefaultLevel
from letterlock.base.config.describe import (
    describe_fields,
    describe_sections,
    describe_values,
    format_toml,
    is_table,
)
from letterlock.base.config.example import format_example
from letterlock.base.config.inbound import CertificateFiles
from letterlock.base.config.load import parse_config
from letterlock.base.config.sections import Config
from letterlock.base.domains import Domain
from letterlock.protocols.policy.requirement import Level
from tools.reference import make_pages

FILE = Path("/etc/mail/letterlock.toml")
GIVEN = {
    "hostname": "mx1.example.org",
    "domains": ["example.org", "example.com"],
    "contact": "postmaster@example.org",
    "data_dir": "/var/lib/letterlock",
}
PLAIN = Config(
    hostname=Domain("mx1.example.org"),
    domains=(Domain("example.org"), Domain("example.com")),
    contact="postmaster@example.org",
    data_dir=Path("/var/lib/letterlock"),
)
INLINE = (CertificateFiles, Authority, Export)


def test_example_is_a_configuration_with_every_default() -> None:
    assert parse_config(format_example(GIVEN), FILE) == PLAIN


def test_every_default_in_the_example_is_the_one_in_force() -> None:
    text = re.sub(r"(?m)^# (?=\[|[a-z0-9_]+ = )", "", format_example(GIVEN))
    config = parse_config(text, FILE)
    assert list(config.policy.hops) == ["example.com"]
    assert [value for value in describe_values(config) if value.is_changed] == [
        *[value for value in describe_values(PLAIN) if value.is_changed],
        *[value for value in describe_values(config) if value.name == "policy.hops"],
    ]


def test_an_element_of_a_list_is_written_without_its_defaults() -> None:
    authority = Authority("https://acme.example/dir", agree_to_terms=True)
    text = '{ directory = "https://acme.example/dir", agree_to_terms = true }'
    assert format_toml(authority) == text
    config = parse_config(format_example({**GIVEN, "certificates.authorities": [authority]}), FILE)
    assert config.certificates.authorities == (authority,)


def test_given_values_are_set_in_the_example() -> None:
    certificate = CertificateFiles(Path("a.pem"), Path("b.pem"))
    text = format_example({**GIVEN, "tls.certificates": [certificate], "queue.lifetime": "2d"})
    config = parse_config(text, FILE)
    assert config.tls.certificates[0].key == Path("/etc/mail/b.pem")
    assert config.queue.lifetime.days == 2


def test_example_needs_every_required_key_and_takes_no_other() -> None:
    with pytest.raises(ValueError, match="hostname must be given"):
        format_example({})
    with pytest.raises(ValueError, match=r"no such settings: queue\.x"):
        format_example({**GIVEN, "queue.x": 1})


def _all_sections(section: type[Any] = Config) -> list[type[Any]]:
    found = [section]
    for hint in get_type_hints(section, include_extras=True).values():
        if is_table(hint):
            found += _all_sections(hint)
    return found


@pytest.mark.parametrize("section", [*_all_sections(), *INLINE], ids=lambda s: s.__name__)
def test_every_setting_has_its_text(section: type[Any]) -> None:
    hints = get_type_hints(section, include_extras=True)
    described = {setting.name: setting for setting in describe_fields(section)}
    names = [field.name for field in fields(section) if not is_table(hints[field.name])]
    assert list(described) == names
    assert all(setting.text.endswith(".") for setting in described.values())


def test_every_section_is_described_once() -> None:
    described = [section.name for section in describe_sections()]
    assert len(described) == len(set(described)) == len(_all_sections())
    assert len(described) == len(re.findall(r"class \w+(?:Section|Timeouts)\b", _source())) + 1


def _source() -> str:
    folder = Path(config_package.__file__).parent
    return "\n".join(module.read_text("utf-8") for module in folder.glob("*.py"))


def test_secret_is_not_shown() -> None:
    text = format_example(
        {**GIVEN, "queue.engine": "postgres", "queue.url": "postgresql://u:p@h/x"}
    )
    values = {value.name: value.text for value in describe_values(parse_config(text, FILE))}
    assert values["queue.url"] == '"(set)"'


def test_toml_texts_are_escaped() -> None:
    assert format_toml('a"b\n\x7f') == '"a\\"b\\n\\u007f"'


def test_default_levels_are_levels_of_the_policy_table() -> None:
    """Every one but fingerprint, which says nothing without its fingerprints."""
    assert set(DefaultLevel) == {level.value for level in Level} - {"fingerprint"}


@pytest.mark.parametrize("path", list(make_pages()), ids=lambda path: path.name)
def test_reference_page_is_current(path: Path) -> None:
    """When it isn't: python -m tools.reference."""
    assert path.read_text("utf-8") == make_pages()[path]
