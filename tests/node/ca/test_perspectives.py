"""Names are looked at from another network, through a proxy there, as the settings say.

Baseline Requirements 3.2.2.9, 5.4.1.
"""

from pathlib import Path

from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.audit.decisions import ValidationLogged
from letterlock.protocols.audit.records import read_decision
from tests.acme_http import Client
from tests.authority_running import InnerSettings, inner_authority
from tests.network.proxy_server import Proxy, proxying
from tests.node.ca.test_trouble import THUMBPRINT, begin, wait_status


async def test_a_place_behind_a_proxy_is_asked_by_it_alone(tmp_path: Path) -> None:
    zone = ZoneServer({"example.org": "@ A 127.0.0.1\nmx A 127.0.0.1"})
    far = ZoneServer({"example.org": "@ A 127.0.0.1\nmx A 127.0.0.1"})
    (host, port), (far_host, far_port) = await zone.start(), await far.start()
    async with proxying(Proxy()) as proxy:
        place = {
            "name": "far",
            "region": "APNIC",
            "resolver": f"{far_host}:{far_port}",
            "proxy": f"socks5://127.0.0.1:{proxy.port}",
        }
        validation = {"perspectives": [place], "min_remotes": 1}
        settings = InnerSettings(f"{host}:{port}", sections={"ca.validation": validation})
        async with inner_authority(tmp_path, settings) as inner:
            client = Client(inner)  # type: ignore[arg-type] # it asks and has nonces
            await client.open()
            for has_far, status in ((False, "invalid"), (True, "valid")):
                _, challenge = await begin(client)
                text = dns_value(f"{challenge['token']}.{THUMBPRINT}")
                for each in (zone, far) if has_far else (zone,):
                    each.set("_acme-challenge.mx.example.org", "TXT", f'"{text}"')
                await client.post(challenge["url"], {})
                found = await wait_status(client, challenge["url"], "valid", "invalid")
                assert found["status"] == status
            records = await inner.store.list_records(0, 100, kind="validation")
            first, last = (read_decision(each.document) for each in records)
    assert set(proxy.asked) == {f"{far_host} {far_port}"}
    assert isinstance(first, ValidationLogged)
    assert isinstance(last, ValidationLogged)
    assert (first.quorum, last.quorum, last.caa_quorum) == ("0/1", "1/1", "1/1")
    assert [each.perspective for each in last.looks] == ["here", "far"]
    await zone.close()
    await far.close()
