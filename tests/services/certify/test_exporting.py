"""What the store has is in the files: for workers, and for other programs, whose hook is run."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest_asyncio

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.exporting import ExportFolder, Exporting
from letterlock.services.certify.tending import Wish
from letterlock.storage.certificate_files import CertificateFiles, make_export_access
from letterlock.storage.certificates import CertificateId
from tests.services.certify.scene import ID, NAME, Scene, making_scene

HOOK = """\
#!/bin/sh
echo "$@" >> "$(dirname "$0")/told"
test ! -e "$(dirname "$0")/refuse" || { echo "it is busy" >&2; exit 3; }
"""


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with making_scene() as made:
        yield made


def make_export(tmp_path: Path, *names: str) -> ExportFolder:
    hook = tmp_path / "hook"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    folder = tmp_path / "export"
    files = CertificateFiles(folder, make_export_access(0o640))
    return ExportFolder(folder, files, frozenset(names), hook)


def make(scene: Scene, tmp_path: Path, *exports: ExportFolder) -> Exporting:
    return Exporting(scene.store, [ID], CertificateFiles(tmp_path / "own"), exports, scene.log)


def told(tmp_path: Path) -> list[str]:
    path = tmp_path / "told"
    return path.read_text().splitlines() if path.exists() else []


async def test_a_new_pair_is_written_for_workers_and_for_others(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.obtain()
    exporting = make(scene, tmp_path, make_export(tmp_path))
    assert await exporting.write_changes()
    pair = await scene.store.load_pair(ID)
    assert pair is not None
    for folder in ("own", "export"):
        assert (tmp_path / folder / NAME / "fullchain.pem").read_bytes() == pair.chain
        assert (tmp_path / folder / NAME / "privkey.pem").read_bytes() == pair.key
    assert (tmp_path / "own" / NAME / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "export" / NAME / "privkey.pem").stat().st_mode & 0o777 == 0o640
    assert told(tmp_path) == [f"{tmp_path}/export/{NAME} {NAME}"]


async def test_a_hook_is_run_once_for_each_pair(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    export = make_export(tmp_path)
    exporting = make(scene, tmp_path, export)
    assert await exporting.write_changes()
    assert await exporting.write_changes()
    assert await make(scene, tmp_path, export).write_changes()  # as after a restart
    assert len(told(tmp_path)) == 1
    await scene.tend(Wish(renew=True))
    assert await exporting.write_changes()
    assert len(told(tmp_path)) == 2


async def test_a_hook_that_failed_is_run_again(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    exporting = make(scene, tmp_path, make_export(tmp_path))
    (tmp_path / "refuse").touch()
    assert not await exporting.write_changes()
    assert not await exporting.write_changes()
    assert sum("ended with status 3: it is busy" in text for text in scene.log.texts) == 1
    (tmp_path / "refuse").unlink()
    assert await exporting.write_changes()
    assert len(told(tmp_path)) == 3


async def test_a_folder_has_the_names_it_is_for(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    exporting = make(scene, tmp_path, make_export(tmp_path, "other.example.org"))
    assert await exporting.write_changes()
    assert (tmp_path / "own" / NAME).exists()
    assert not (tmp_path / "export").exists()


async def test_what_can_not_be_written_is_told_once_and_tried_again(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.obtain()
    (tmp_path / "own").write_text("a file in the way")
    exporting = make(scene, tmp_path)
    assert not await exporting.write_changes()
    assert not await exporting.write_changes()
    assert len([text for text in scene.log.texts if text.startswith("warning")]) == 1
    (tmp_path / "own").unlink()
    assert await exporting.write_changes()
    assert (tmp_path / "own" / NAME / "fullchain.pem").exists()


async def test_only_wanted_certificates_are_served(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    other = CertificateId("other.example.org", KeyType.ECDSA)
    exporting = Exporting(scene.store, [other], CertificateFiles(tmp_path / "own"), (), scene.log)
    assert await exporting.write_changes()
    assert not (tmp_path / "own").exists()


async def test_one_file_has_key_and_chain_for_who_opens_no_two(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.obtain()
    assert await make(scene, tmp_path, make_export(tmp_path)).write_changes()
    combined = tmp_path / "export" / NAME / "combined.pem"
    assert combined.stat().st_mode & 0o777 == 0o640
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(combined)
    assert combined.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not (tmp_path / "own" / NAME / "combined.pem").exists()


async def test_workers_wait_for_no_hook(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    export = make_export(tmp_path)
    hanging = tmp_path / "hanging"
    os.mkfifo(hanging)
    assert export.hook is not None
    export.hook.write_text(f"#!/bin/sh\ncat {hanging}\n")
    exporting = make(scene, tmp_path, export)
    task = asyncio.ensure_future(exporting.run())
    try:
        async with asyncio.timeout(60):
            # A hook that runs has the other end open: this one is let through.
            ended = await asyncio.to_thread(os.open, hanging, os.O_WRONLY)
            await scene.tend(Wish(renew=True))
            exporting.look()
            pair = await scene.store.load_pair(ID)
            assert pair is not None
            own = tmp_path / "own" / NAME / "fullchain.pem"
            for _ in count():
                if own.read_bytes() == pair.chain:
                    break
                await asyncio.sleep(0.005)
        os.close(ended)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_what_other_programs_do_not_have_is_known(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    export = make_export(tmp_path)
    exporting = make(scene, tmp_path, export)
    assert await exporting.find_fault(ID) == f"its export to {tmp_path}/export: it is not there yet"
    (tmp_path / "refuse").touch()
    await exporting.write_changes()
    fault = await exporting.find_fault(ID)
    assert fault is not None
    assert fault.endswith("ended with status 3: it is busy")
    (tmp_path / "refuse").unlink()
    await exporting.write_changes()
    assert await exporting.find_fault(ID) is None
    assert await make(scene, tmp_path, export).find_fault(ID) is None  # as after a restart
    assert await exporting.find_fault(CertificateId("other.example.org", KeyType.ECDSA)) is None


async def test_what_was_taken_away_is_written_once_more(scene: Scene, tmp_path: Path) -> None:
    await scene.obtain()
    exporting = make(scene, tmp_path, make_export(tmp_path))
    await exporting.write_changes()
    (tmp_path / "export" / NAME).unlink()
    assert await exporting.find_fault(ID) is not None
    await exporting.write_changes()
    assert await exporting.find_fault(ID) is None
