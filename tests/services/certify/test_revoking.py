"""RFC 8555 §7.6: revoked by the account, or by its own key; then another takes its place."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest_asyncio

from letterlock.network.acme_client import AcmeFailed
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.services.certify.revoking import revoke_certificate
from letterlock.services.certify.tending import Wish
from letterlock.storage.issued import IssuedCertificate
from tests.acme_server import refuse
from tests.services.certify.scene import ID, Scene, making_scene


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with making_scene() as made:
        yield made


async def newest(scene: Scene) -> IssuedCertificate:
    return (await scene.issued.list_issued_for(ID))[0]


async def test_a_revoked_certificate_is_renewed(scene: Scene) -> None:
    facts = await scene.obtain()
    failed = await revoke_certificate(
        scene.tools(), await newest(scene), RevocationReason.SUPERSEDED
    )
    assert failed is None
    assert scene.server.revoked[0][0]["reason"] == 4
    assert (await newest(scene)).revoked == scene.clock.now()
    state = await scene.tend()
    assert state.facts is not None
    assert state.facts.serial != facts.serial
    assert state.revoked is None


async def test_one_of_before_leaves_that_in_use_alone(scene: Scene) -> None:
    await scene.obtain()
    old = await newest(scene)
    await scene.tend(Wish(renew=True))
    assert await revoke_certificate(scene.tools(), old, None) is None
    state = await scene.store.load(ID)
    assert state is not None
    assert state.revoked is None


async def test_the_certificates_own_key_does_where_the_account_does_not(scene: Scene) -> None:
    await scene.obtain()
    scene.server.replies["revoke-cert"] = [refuse("unauthorized")]
    assert await revoke_certificate(scene.tools(), await newest(scene), None) is None
    ((_, thumbprint),) = scene.server.revoked
    assert thumbprint not in scene.server.accounts


async def test_an_authority_that_is_not_asked_any_more_takes_the_key(scene: Scene) -> None:
    await scene.obtain()
    tools = replace(scene.tools(), directories=())
    assert await revoke_certificate(tools, await newest(scene), None) is None
    assert len(scene.server.revoked) == 1


async def test_a_refusal_is_told_and_nothing_is_kept(scene: Scene) -> None:
    await scene.obtain()
    scene.server.replies["revoke-cert"] = [refuse("unauthorized"), refuse("unauthorized")]
    failed = await revoke_certificate(scene.tools(), await newest(scene), None)
    assert isinstance(failed, AcmeFailed)
    assert (await newest(scene)).revoked is None
