"""By what names CAA means an authority; domains are told by mail of what their records forbade."""

from pathlib import Path

import pytest

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
        # When the file is there it may be empty still.
        await until(lambda: any("org: reported" in each for each in inner.log.texts))
        (file,) = drop.iterdir()
        message = file.read_bytes()
        assert b"To: security@example.org" in message
        assert b"Subject: No certificate for mx.example.org: its CAA records forbid it" in message
    await zone.close()


@pytest.mark.parametrize("names", [(), ("one.example", "two.example")])
async def test_caa_means_us_by_the_names_of_the_directory_and_no_other(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """RFC 8555 §7.1.1, RFC 8659 §4.2; Baseline Requirements 3.2.2.8, 4.2."""
    zone = ZoneServer({"example.org": "@ A 127.0.0.1"})
    host, port = await zone.start()
    settings = InnerSettings(f"{host}:{port}", sections={"ca": {"caa_identities": list(names)}})
    thumbprint = make_public_key(ACCOUNT_KEY.public_key()).thumbprint
    async with inner_authority(tmp_path, settings) as inner:
        client = Client(inner)  # type: ignore[arg-type] # it asks and has nonces
        await client.open()
        told = (await inner.ask("GET", "/directory")).document["meta"]["caaIdentities"]
        host_name = inner.config.hostname
        assert told == list(names or (host_name,))
        others = {"other.example", "one.example", host_name} - set(told)
        for number, issuer in enumerate([*told, *sorted(others)]):
            name = f"mx{number}.example.org"
            zone.set(name, "CAA", f'0 issue "{issuer}"')
            order = await client.order(name)
            (url,) = order.document["authorizations"]
            shown = (await client.post(url)).document["challenges"]
            (challenge,) = (each for each in shown if each["type"] == "dns-01")
            text = dns_value(f"{challenge['token']}.{thumbprint}")
            zone.set(f"_acme-challenge.{name}", "TXT", f'"{text}"')
            await client.post(challenge["url"], {})
            wanted = "valid" if issuer in told else "invalid"
            found = await wait_status(client, challenge["url"], "valid", "invalid")
            assert (issuer, found["status"]) == (issuer, wanted)
            assert wanted == "valid" or found["error"]["type"].endswith(":caa")
    await zone.close()
