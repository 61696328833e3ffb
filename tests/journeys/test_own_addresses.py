"""Behind a router that translates addresses: what it has outside is ours."""

from pathlib import Path

from tests.journeys.running_node import NodeFiles, running


def test_mail_is_not_sent_to_the_address_in_front_of_us(tmp_path: Path) -> None:
    """RFC 5321 §5.1: it would come back; no connection is tried."""
    files = NodeFiles(tmp_path)
    files.change("deliver", own_addresses=["192.0.2.25"], port=25)
    with running(files) as node:
        queue_id = node.send(to="alice@[192.0.2.25]")
        line = node.wait_log(rf"{queue_id}: to=<alice@\[192\.0\.2\.25\]>.*")[0]
    assert "dsn=5.4.6, status=bounced" in line
    assert "loops back to myself" in line
