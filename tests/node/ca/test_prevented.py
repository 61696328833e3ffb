"""What CAA prevented is told by mail through this machine's node, where the settings want it."""

from pathlib import Path

from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.server.public_keys import make_public_key
from tests.acme_http import Client
from tests.acme_requests import ACCOUNT_KEY
from tests.authority_running import InnerSettings, inner_authority
from tests.node.ca.test_trouble import begin, wait_status
from tests.services.ca.test_working import until

ZONE = """
    @ A 127.0.0.1
    @ CAA 0 issue "other.example"
    @ CAA 0 iodef "mailto:security@example.org"
    """


async def test_a_domain_is_told_by_mail_that_its_records_forbade_a_certificate(
    tmp_path: Path,
) -> None:
    """RFC 8659 §4.4."""
    zone = ZoneServer({"example.org": ZONE})
    host, port = await zone.start()
    drop = tmp_path / "drop"
    drop.mkdir()
    settings = InnerSettings(
        f"{host}:{port}",
        sections={"ca": {"report_prevented": True}, "send": {"drop_dir": str(drop)}},
    )
    async with inner_authority(tmp_path, settings) as inner:
        client = Client(inner)  # type: ignore[arg-type] # it asks and has nonces
        await client.open()
        _, challenge = await begin(client)
        thumbprint = make_public_key(ACCOUNT_KEY.public_key()).thumbprint
        text = dns_value(f"{challenge['token']}.{thumbprint}")
        zone.set("_acme-challenge.mx.example.org", "TXT", f'"{text}"')
        await client.post(challenge["url"], {})
        found = await wait_status(client, challenge["url"], "invalid")
        assert found["error"]["type"] == "urn:ietf:params:acme:error:caa"
        await until(lambda: any(drop.iterdir()))
        (file,) = drop.iterdir()
        message = file.read_bytes()
        assert b"To: security@example.org" in message
        assert b"Subject: No certificate for mx.example.org: its CAA records forbid it" in message
        await until(lambda: "to security@example.org: reported" in inner.log.texts[-1])
    await zone.close()
