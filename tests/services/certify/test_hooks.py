"""Programs of the operator's: what they get, and what is told of those that fail."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop

from letterlock.services.certify.hooks import MAX_SHOWN_CHARACTERS, SEARCH_PATH, run_hook

LIMIT = timedelta(minutes=1)


def write(folder: Path, body: str) -> Path:
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


async def test_it_gets_its_arguments_as_they_are_and_few_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell reads them: what an authority sends must not run."""
    monkeypatch.setenv("SECRET_OF_THE_NODE", "x")
    seen = tmp_path / "seen"
    hook = write(tmp_path, f'{{ pwd; printf "%s\\n" "$@"; env | sort; }} > "{seen}"; cat')
    arguments = ("present", "a b", "$(touch /tmp/x)", "-n", "'\"")
    assert await run_hook(hook, arguments, {"LETTERLOCK_TTL": "60"}, LIMIT) is None
    lines = seen.read_text().splitlines()
    assert lines[:6] == ["/", *arguments]
    variables = dict(line.split("=", 1) for line in lines[6:])
    assert variables.pop("PWD") == "/"
    variables.pop("_", None)
    assert variables == {"LANG": "C.UTF-8", "LETTERLOCK_TTL": "60", "PATH": SEARCH_PATH}


async def test_what_it_is_given_is_its_input(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    hook = write(tmp_path, f'cat > "{seen}"')
    for given in (b"", b"$(id)\0\n" * 100_000):
        assert await run_hook(hook, (), {}, LIMIT, given) is None
        assert seen.read_bytes() == given


async def test_the_last_line_of_its_errors_is_told(tmp_path: Path) -> None:
    hook = write(tmp_path, "echo first >&2; printf 'no such\\033zone\\n\\n  ' >&2; exit 3")
    failure = await run_hook(hook, (), {}, LIMIT)
    assert failure == f"{hook} ended with status 3: no such?zone"


async def test_a_failure_without_words(tmp_path: Path) -> None:
    hook = write(tmp_path, "echo not here; exit 1")
    assert await run_hook(hook, (), {}, LIMIT) == f"{hook} ended with status 1"
    hook = write(tmp_path, "kill -9 $$")
    assert await run_hook(hook, (), {}, LIMIT) == f"{hook} was ended by signal 9"


async def test_long_errors_are_cut(tmp_path: Path) -> None:
    hook = write(tmp_path, "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1")
    failure = await run_hook(hook, (), {}, LIMIT)
    assert failure == f"{hook} ended with status 1: {'x' * MAX_SHOWN_CHARACTERS}"


async def test_words_of_one_that_did_its_work_are_no_failure(tmp_path: Path) -> None:
    assert await run_hook(write(tmp_path, "echo careful >&2"), (), {}, LIMIT) is None


async def test_its_time_is_limited(tmp_path: Path) -> None:
    hook = write(tmp_path, "sleep 1000")
    failure = await run_hook(hook, (), {}, timedelta(seconds=0.05))
    assert failure == f"{hook} was ended: it did not end within 0:00:00.050000"


async def test_it_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """Here because nobody waits for it any more."""
    hook, read_pids = write_parent(tmp_path)
    running = asyncio.ensure_future(run_hook(hook, (), {}, LIMIT))
    await end_and_see_the_end(running, await asyncio.to_thread(read_pids))


async def test_it_is_ended_with_all_it_started_while_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may have started others before asyncio says that it runs."""
    hook, read_pids = write_parent(tmp_path)
    started: list[list[int]] = []
    has_started = asyncio.Event()
    start = asyncio.create_subprocess_exec

    async def start_slowly(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*arguments, **options)
        started.append(await asyncio.to_thread(read_pids))
        has_started.set()
        await asyncio.sleep(0)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    running = asyncio.ensure_future(run_hook(hook, (), {}, LIMIT))
    await has_started.wait()
    await end_and_see_the_end(running, started[0])


def write_parent(folder: Path) -> tuple[Path, Callable[[], list[int]]]:
    """Write a hook that starts a program, and say how to wait for the two process numbers."""
    pids = folder / "pids"
    os.mkfifo(pids)
    hook = write(folder, f'sleep 1000 & echo "$! $$" > "{pids}"; wait')
    return hook, lambda: [int(pid) for pid in pids.read_text().split()]


async def end_and_see_the_end(running: asyncio.Future[str | None], pids: list[int]) -> None:
    processes = [os.pidfd_open(pid) for pid in pids]
    assert len(processes) == 2
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for process in processes:
        await wait_for_end(process)


def test_no_signal_is_blocked_for_it_in_the_nodes_event_loop(tmp_path: Path) -> None:
    """Nor is it missed that it ended, under uvloop."""
    seen = tmp_path / "seen"
    hook = write(tmp_path, f'grep SigBlk /proc/self/status > "{seen}"; exit 3')
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        failure = runner.run(run_hook(hook, (), {}, LIMIT))
    assert failure == f"{hook} ended with status 3"
    assert int(seen.read_text().split()[1], 16) == 0


async def test_what_it_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """Some programs restart a server that then holds what it inherited."""
    pids = tmp_path / "pids"
    hook = write(tmp_path, f'sleep 1000 & echo "$!" > "{pids}"')
    assert await run_hook(hook, (), {}, LIMIT) is None
    os.kill(int(pids.read_text()), 9)


@pytest.mark.parametrize("mode", [0o600, None])
async def test_one_that_can_not_be_run(tmp_path: Path, mode: int | None) -> None:
    hook = tmp_path / "hook"
    if mode is not None:
        hook.write_text("#!/bin/sh\n")
        hook.chmod(mode)
    reason = "No such file or directory" if mode is None else "Permission denied"
    assert await run_hook(hook, (), {}, LIMIT) == f"{hook} cannot be run: {reason}"
    failure = await run_hook(hook, ("a\0b",), {}, LIMIT)
    assert failure == f"{hook} cannot be run: embedded null byte"


async def wait_for_end(process: int) -> None:
    """Wait for a process by its descriptor, and close that."""
    has_ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(process, has_ended.set)
    try:
        async with asyncio.timeout(60):
            await has_ended.wait()
    finally:
        loop.remove_reader(process)
        os.close(process)


async def test_one_that_writes_without_end_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it wrote last is known all the same."""
    written: list[int] = []

    def truncate(descriptor: int, length: int) -> None:
        if written:
            return  # it might take what is written last
        real(descriptor, length)
        written.append(descriptor)
        (tmp_path / "enough").touch()

    real = os.ftruncate
    monkeypatch.setattr(os, "ftruncate", truncate)
    hook = write(
        tmp_path,
        f"while test ! -e {tmp_path}/enough; do head -c 2000000 /dev/zero >&2; done\n"
        "echo the end >&2; exit 3",
    )
    assert await run_hook(hook, (), {}, LIMIT) == f"{hook} ended with status 3: the end"
    assert written
