"""Every setting that holds a name takes it in Unicode, and addresses in each of their forms.

RFC 5890 §2.3 (A-labels inside), RFC 5321 §4.1.3 (literals), RFC 6532 §3.1 (NFC).
"""

from pathlib import Path

import pytest

from letterlock.base.config.describe import describe_values
from letterlock.base.config.load import ConfigErrors, parse_config

FILE = Path("/etc/letterlock/letterlock.toml")
SETTINGS = """
hostname = "mx.bücher.example"
domains = ["BÜCHER.example", "example.org"]
contact = "Grün@bücher.example"
data_dir = "/var/lib/letterlock"
[receive]
listen = ["[2001:db8::1]:25", "192.0.2.1:25"]
[send]
origin = "bücher.example"
[local]
mailboxes = ["Info@bücher.example", "gru\u0308n", "postmaster"]
postmaster = "info@bücher.example"
[deliver]
relayhost = "[relay.bücher.example]:587"
helo_ipv4 = "mx.bücher.example"
own_addresses = ["2001:db8:0::1"]
[deliver.routes]
"kunde.bücher.example" = "[IPv6:2001:DB8::5]:26"
"x.example" = "[2001:db8::5]:26"
"y.example" = "[192.0.2.1]:2525"
"z.example" = "höst.example"
[dkim]
domains = ["bücher.example"]
[certificates]
names = ["mail.bücher.example"]
[publishing]
mx_hosts = ["mx.bücher.example"]
[publishing.mta_sts]
domains = ["bücher.example"]
mx = ["*.bücher.example"]
listen = ["[::1]:8443"]
"""
INSIDE = {
    "hostname": '"mx.xn--bcher-kva.example"',
    "domains": '["xn--bcher-kva.example", "example.org"]',
    "contact": '"Grün@xn--bcher-kva.example"',
    "receive.listen": '["[2001:db8::1]:25", "192.0.2.1:25"]',
    "send.origin": '"xn--bcher-kva.example"',
    "local.mailboxes": '["info@xn--bcher-kva.example", "grün", "postmaster"]',
    "local.postmaster": '"info@xn--bcher-kva.example"',
    "deliver.relayhost": '"[relay.xn--bcher-kva.example]:587"',
    "deliver.helo_ipv4": '"mx.xn--bcher-kva.example"',
    "deliver.own_addresses": '["2001:db8::1"]',
    "deliver.routes": (
        '{ "kunde.xn--bcher-kva.example" = "[2001:db8::5]:26", "x.example" = "[2001:db8::5]:26", '
        '"y.example" = "[192.0.2.1]:2525", "z.example" = "xn--hst-sna.example" }'
    ),
    "dkim.domains": '["xn--bcher-kva.example"]',
    "certificates.names": '["mail.xn--bcher-kva.example"]',
    "publishing.mx_hosts": '["mx.xn--bcher-kva.example"]',
    "publishing.mta_sts.domains": '["xn--bcher-kva.example"]',
    "publishing.mta_sts.mx": '["*.xn--bcher-kva.example"]',
    "publishing.mta_sts.listen": '["[::1]:8443"]',
}


def test_names_have_one_form_inside() -> None:
    values = {each.name: each.text for each in describe_values(parse_config(SETTINGS, FILE))}
    assert {name: values[name] for name in INSIDE} == INSIDE


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('hostname = "mx..example"', "label"),
        ('hostname = "\u2603-.example"', "internationalised"),
        ('contact = "nobody"', "a mail address"),
    ],
)
def test_what_is_no_name_is_told_with_its_line(line: str, said: str) -> None:
    key = line.partition(" ")[0]
    text = "\n".join(line if each.startswith(key) else each for each in SETTINGS.split("\n"))
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text, FILE)
    told = [each for each in caught.value.errors if each.key == key]
    assert told
    assert said in str(told[0])
    assert told[0].line > 0
