"""postfix-mta-sts-resolver with a warm cache: run in `.venv-policy-daemon` by `bench_policy`.

`policy_rival.py PORT KEYS`: policies for `warm0.example` and so on are in its own cache, as fresh
as its grace time wants them, so that it asks neither DNS nor a policy host. All else is as it
comes, uvloop included.
"""

import asyncio
import sys
import time

from postfix_mta_sts_resolver import (  # type: ignore[import-not-found] # in .venv-policy-daemon only
    utils,
)
from postfix_mta_sts_resolver.base_cache import (  # type: ignore[import-not-found] # as above
    CacheEntry,
)
from postfix_mta_sts_resolver.responder import (  # type: ignore[import-not-found] # as above
    STSSocketmapResponder,
)

GRACE_SECONDS = 24 * 3600


async def main(port: int, keys: int) -> None:
    """Serve until killed."""
    settings = utils.populate_cfg_defaults({"port": port, "cache_grace": GRACE_SECONDS})
    cache = utils.create_cache(settings["cache"]["type"], settings["cache"]["options"])
    await cache.setup()
    for number in range(keys):
        domain = f"warm{number}.example"
        body = {"version": "STSv1", "mode": "enforce", "max_age": 604800, "mx": [f"mx.{domain}"]}
        await cache.set(domain, CacheEntry(time.time(), "1", body))  # noqa: TID251 - it compares with this clock
    await STSSocketmapResponder(settings, asyncio.get_running_loop(), cache).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    assert utils.enable_uvloop()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
