"""Behind a router that translates addresses: what it has outside is ours."""

from pathlib import Path

from tests.interop.background import zones
from tests.journeys.running_node import NodeFiles, running

OUTSIDE = "192.0.2.25"


def test_mail_is_not_sent_to_the_address_in_front_of_us(tmp_path: Path) -> None:
    """RFC 5321 §5.1: it would come back; no connection is tried."""
    files = NodeFiles(tmp_path)
    files.change("deliver", own_addresses=[OUTSIDE], port=25)
    with zones({"front.example": f"@ MX 10 mx\nmx A {OUTSIDE}"}) as resolver:
        files.change("dns", resolver=resolver)
        with running(files) as node:
            queue_id = node.send(to="alice@front.example")
            line = node.wait_log(rf"{queue_id}: to=<alice@front\.example>.*")[0]
    assert "dsn=5.4.6, status=bounced" in line
    assert "loops back to myself" in line


def test_that_address_is_a_name_of_ours_for_postmaster_alone(tmp_path: Path) -> None:
    """RFC 5321 §4.1.3, §4.5.1."""
    files = NodeFiles(tmp_path)
    files.change("deliver", own_addresses=[OUTSIDE])
    with running(files) as node, node.client() as client:
        client.ehlo()
        client.mail("bob@example.net")
        assert client.rcpt(f"postmaster@[{OUTSIDE}]")[0] == 250
        assert client.rcpt(f"alice@[{OUTSIDE}]")[0] == 550
