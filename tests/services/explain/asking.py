"""An explainer that stands on the parts of a sending node of `tests.services.deliver`."""

from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.deliver.delivery import Routing
from letterlock.services.discover.resolver_check import ResolverState, SelfTest
from letterlock.services.explain.explainer import Explainer, parse_question
from letterlock.services.explain.explanation import Explanation
from letterlock.services.explain.trials import Trials
from tests.services.deliver.outbound import DOMAIN, Outbound

RESOLVER = ResolverState(
    "127.0.0.1:53", is_trusted=True, self_test=SelfTest.PASSED, reason="com is signed"
)


async def check_resolver() -> ResolverState:
    return RESOLVER


def explainer(node: Outbound, *, is_live: bool = False) -> Explainer:
    remote = node.remote
    return Explainer(
        finder=remote.finder,
        policy=remote.policy,
        resolver=node.resolver,
        check_resolver=check_resolver,
        anchors=remote.anchors,
        trials=Trials(remote.dialer, remote.settings) if is_live else None,
    )


async def ask(
    node: Outbound,
    text: str = DOMAIN,
    demand: TlsDemand = TlsDemand.NORMAL,
    *,
    is_live: bool = False,
) -> Explanation:
    """Explain what would become of mail that this node sends."""
    question = parse_question(text, Routing(frozenset(), {}, None, node.port))
    return await explainer(node, is_live=is_live).explain(question, demand)
