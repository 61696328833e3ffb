"""Keys are made at the start of a node."""

from pathlib import Path

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.signature import Algorithm
from letterlock.services.sign.keys import KeyPlan, load_key
from letterlock.services.sign.making import KeyMaker
from letterlock.storage.dkim_keys import DkimKeyFiles
from tests.fakes import FakeLog

PLAN = KeyPlan((Domain("example.org"),), "s1", "s2", (Algorithm.ED25519_SHA256,))


async def test_what_is_missing_is_made_and_told_once(tmp_path: Path) -> None:
    """RFC 6376 §3.1: also the next key, which has to be published before it is used."""
    files, first, second = DkimKeyFiles(tmp_path), FakeLog(), FakeLog()
    for log in (first, second):
        maker = KeyMaker(PLAN, files, log)
        await maker.run()
        assert maker.problem is None
    for which, text in zip(PLAN.list_all(), first.texts, strict=True):
        key = load_key(files, which)
        assert key is not None
        assert f"publish as TXT at {which.selector}._domainkey.example.org" in text
        assert key.record in text
        assert "PRIVATE" not in text
    assert second.lines == []


async def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "dkim").write_text("no folder")
    log = FakeLog()
    maker = KeyMaker(PLAN, DkimKeyFiles(tmp_path / "dkim"), log)
    await maker.run()
    assert maker.problem is not None
    assert log.texts == [f"warning: {maker.problem}"]
    assert "mail goes unsigned" in maker.problem
