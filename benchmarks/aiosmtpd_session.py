"""What a message costs in aiosmtpd; run by `bench_session` in the environment `.venv-bench`."""

import asyncio
import importlib
import json
import logging
import sys
from dataclasses import asdict

import uvloop

from benchmarks.sessions import Cost, measure


class _Handler:
    async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - aiosmtpd's name for it
        return "250 2.0.0 Ok"


async def _measure(messages: int) -> Cost:
    smtp = importlib.import_module("aiosmtpd.smtp").SMTP
    # Its log is off: ours counts, its own would be written out line by line.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    return await measure(
        lambda: smtp(_Handler(), hostname="mx.example.org", loop=loop, enable_SMTPUTF8=True),
        messages,
    )


if __name__ == "__main__":
    uvloop.install()
    print(json.dumps(asdict(asyncio.run(_measure(int(sys.argv[1]))))))
