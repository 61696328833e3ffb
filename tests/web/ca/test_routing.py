"""Which resource a path finds: all words must fit, and none that stands for a name is empty."""

import pytest
from starlette.types import Receive, Scope, Send

from letterlock.web.ca.routing import make_routing

TEMPLATES = ("new-order", "order/{order}", "order/{order}/finalize", "list/{one}/after/{two}")


class Found:
    """Notes which application was asked, and with which names."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []

    def named(self, name: str) -> "Named":
        return Named(self, name)


class Named:
    def __init__(self, found: Found, name: str) -> None:
        self.found, self.name = found, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        self.found.asked.append((self.name, scope.get("path_params")))


async def nothing() -> dict[str, object]:
    raise AssertionError("it was not asked")


async def unsent(message: object) -> None:
    raise AssertionError(message)


async def find(prefix: str, scope: Scope) -> tuple[str, object]:
    found = Found()
    resources = {each: found.named(each) for each in TEMPLATES}
    await make_routing(prefix, resources, found.named("rest"))(scope, nothing, unsent)
    (asked,) = found.asked
    return asked


@pytest.mark.parametrize("prefix", ["", "/acme", "/a/b"])
@pytest.mark.parametrize(
    ("path", "template", "params"),
    [
        ("/new-order", "new-order", {}),
        ("/order/x", "order/{order}", {"order": "x"}),
        ("/order/{order}", "order/{order}", {"order": "{order}"}),
        ("/order/x\n", "order/{order}", {"order": "x\n"}),
        ("/order/x/finalize", "order/{order}/finalize", {"order": "x"}),
        ("/list/x/after/y", "list/{one}/after/{two}", {"one": "x", "two": "y"}),
        ("/order/", "rest", None),
        ("/order//finalize", "rest", None),
        ("/order/x/", "rest", None),
        ("/order/x/other", "rest", None),
        ("/order/x/finalize/more", "rest", None),
        ("/list/x/before/y", "rest", None),
        ("/new-order/", "rest", None),
        ("/new-order\n", "rest", None),
        ("/New-Order", "rest", None),
        ("//new-order", "rest", None),
        ("/", "rest", None),
    ],
)
async def test_a_path_finds_its_resource(
    prefix: str, path: str, template: str, params: object
) -> None:
    scope = {"type": "http", "path": f"{prefix}{path}"}
    assert await find(prefix, scope) == (template, params)


@pytest.mark.parametrize("path", ["/new-order", "/acm/new-order", "/acmex/new-order", "/acme", ""])
async def test_what_is_not_behind_the_prefix_is_not_ours(path: str) -> None:
    assert await find("/acme", {"type": "http", "path": path}) == ("rest", None)


async def test_what_is_no_request_is_not_ours() -> None:
    assert await find("", {"type": "lifespan"}) == ("rest", None)
    assert await find("", {"type": "websocket", "path": "/new-order"}) == ("rest", None)


def test_two_paths_that_cannot_be_told_apart_are_a_mistake() -> None:
    found = Found()
    resources = {"a/{b}": found.named("one"), "a/c": found.named("other")}
    with pytest.raises(ValueError, match="a/c: another path"):
        make_routing("", resources, found.named("rest"))
