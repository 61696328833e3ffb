"""An authority whose store is in PostgreSQL: two processes, and a database that goes away."""

from pathlib import Path

import pytest

from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.jws import make_account_key
from letterlock.services.certify.authority import Authority, open_account
from tests.authority_running import AuthorityFiles, RunningAuthority, running_authority
from tests.journeys.test_authority import TERMS, ZONE, Scene, make_client
from tests.storage.postgres_server import postgres_server


@pytest.mark.proof
@pytest.mark.peer("postgresql")
async def test_two_processes_issue_from_one_database_which_may_go_away(tmp_path: Path) -> None:
    zone = ZoneServer({ZONE: "@ A 127.0.0.1"})
    host, port = await zone.start()
    with postgres_server() as server:
        files = AuthorityFiles(tmp_path, resolver=f"{host}:{port}")
        files.change("ca", database="postgres", database_url=server.create_schema())
        files.write()
        assert files.command("ca", "init").code == 0
        with running_authority(files) as first:
            second = RunningAuthority(files).wait_ready()
            opened = [
                await open_account(make_client(each), make_account_key(), TERMS)
                for each in (first, second)
            ]
            for authority, account in zip((first, second), opened, strict=True):
                assert isinstance(account, Authority), account
                await Scene(authority, zone, account).issue("mx1.example.org")
            listed = files.command("ca", "list", "--name", "mx1.example.org", "--json").document
            assert len(listed["certificates"]) == 2
            server.stop()
            away = await open_account(make_client(first), make_account_key(), TERMS)
            assert "the database is away" in str(away)
            assert files.command("ca", "list").code == 3
            server.start()
            again = await open_account(make_client(first), make_account_key(), TERMS)
            assert isinstance(again, Authority), again
            assert second.stop() == 0
            assert first.stop() == 0
    await zone.close()
