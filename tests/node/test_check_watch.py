"""What watches domains: by a real check, until a signal; and how long a connection may take."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.sections import Config
from letterlock.base.config.values import parse_resolver_address
from letterlock.base.errors import LocalError
from letterlock.network.zone_server import ZoneServer
from letterlock.node.check_watch import DomainWatch, WatchOptions, list_tellers
from letterlock.node.checking import Asked, CheckOptions
from letterlock.node.explaining import make_default_config
from letterlock.services.check.repeating import Patience
from letterlock.services.check.watching import Change
from letterlock.services.discover.next_hop import parse_next_hop
from letterlock.storage.check_runs import CheckRuns
from letterlock.storage.durable import make_folder

DOMAIN = "null.example"


def make_options(note: Callable[[str], None]) -> CheckOptions:
    return CheckOptions(1, 0.0, 5.0, 21, Patience(0, 0.0), note)


def make_watching(folder: Path, command: Path | None = None) -> WatchOptions:
    mail = "alarm@example.net" if command is not None else None
    return WatchOptions(timedelta(days=1), 1, frozenset(), mail, Path("/x"), command, folder)


def point_at(server: str) -> Config:
    config = make_default_config()
    return replace(config, dns=replace(config.dns, resolver=parse_resolver_address(server)))


async def test_it_looks_keeps_and_ends_at_a_signal(tmp_path: Path) -> None:
    server = ZoneServer({"com": "@ NS ns.com.", DOMAIN: "@ MX 10 ."})
    host, port = await server.start("127.0.0.1", 0)
    notes: list[str] = []
    said: list[Change] = []
    kept = CheckRuns(tmp_path)
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat > {ran}\n")
    program.chmod(0o700)
    # All that is wrong there is news to it.
    kept.save(DOMAIN, {"findings": [], "verdicts": [], "waiting": {}, "looks": 1})

    def end_soon() -> None:
        if kept.load("/untold") == {"command": []} and ran.exists():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            asyncio.get_running_loop().call_later(0.02, end_soon)

    watching = replace(make_watching(tmp_path, program), mail=None)
    asked = [Asked(DOMAIN, parse_next_hop(DOMAIN))]
    end_soon()
    async with asyncio.timeout(120):
        config, options = point_at(f"{host}:{port}"), make_options(notes.append)
        await DomainWatch(config, asked, options, watching, SystemClock(), said.extend).watch()
    await server.close()
    assert notes[0] == "1 domain is watched, from now on"
    assert ("mx-null", "critical") in [(each.what, each.severity) for each in said]
    known = kept.load(DOMAIN)
    assert known is not None
    assert "mx-null" in [each["id"] for each in known["findings"]]
    assert kept.load("/schedule") is not None


def test_only_one_watches_with_a_folder(tmp_path: Path) -> None:
    def say(changes: Sequence[Change]) -> None:
        raise AssertionError(changes)

    asked = [Asked(DOMAIN, parse_next_hop(DOMAIN))]
    watching = make_watching(tmp_path / "watch")

    def note(text: str) -> None:
        """Begin another one as soon as this one has begun."""
        assert text == "1 domain is watched, from now on"
        with pytest.raises(LocalError, match="another check --watch keeps what it told there"):
            watch.run()
        raise KeyboardInterrupt

    config, options = make_default_config(), make_options(note)
    watch = DomainWatch(config, asked, options, watching, SystemClock(), say)
    for _ in range(2):
        # The second time the first has let it go.
        with pytest.raises(KeyboardInterrupt):
            watch.run()
    make_folder(tmp_path / "no")
    (tmp_path / "no" / "folder").write_text("")
    other = make_watching(tmp_path / "no" / "folder")
    with pytest.raises(LocalError, match="XDG_STATE_HOME says where"):
        replace(watch, watching=other).run()


def test_who_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    config = make_default_config()
    assert list_tellers(config, make_watching(tmp_path)) == []
    both = list_tellers(config, make_watching(tmp_path, Path("/bin/true")))
    assert [each.name for each in both] == ["mail", "command"]
