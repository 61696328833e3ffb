"""Which resource answers at a path, found by the path's first word and how many words it has.

Starlette's router tries its routes one after another, by a regular expression each; it is asked for
what is none of ACME's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Routing:
    """An ASGI application that gives each request to one of others.

    `prefix` is the path that all of ours stand behind, without a final slash.
    """

    prefix: str
    found: Mapping[tuple[str, int], tuple[tuple[str, ...], ASGIApp]]
    rest: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, with the words of {} in `path_params` (ASGI)."""
        path = scope.get("path", "")
        application = self.rest
        if scope["type"] == "http" and path.startswith(f"{self.prefix}/"):
            words = path[len(self.prefix) + 1 :].split("/")
            template, ours = self.found.get((words[0], len(words)), ((), self.rest))
            params = _match(template, words)
            if params is not None:
                scope["path_params"] = params
                application = ours
        await application(scope, receive, send)


def make_routing(prefix: str, resources: Mapping[str, ASGIApp], rest: ASGIApp) -> Routing:
    """Make it of resources by their paths behind the prefix, such as `order/{order}/finalize`.

    Raises ValueError for two that begin with one word and are of one length.
    """
    found: dict[tuple[str, int], tuple[tuple[str, ...], ASGIApp]] = {}
    for path, resource in resources.items():
        template = tuple(path.split("/"))
        key = (template[0], len(template))
        if key in found:
            raise ValueError(f"{path}: another path has as many words, and the same first one")
        found[key] = (template, resource)
    return Routing(prefix, found, rest)


def _match(template: tuple[str, ...], words: list[str]) -> dict[str, str] | None:
    """Give the words that stand where the template has {names}; None: it does not fit."""
    if not template:
        return None
    params: dict[str, str] = {}
    for part, word in zip(template, words, strict=True):
        if part.startswith("{") and word:
            params[part[1:-1]] = word
        elif part != word:
            return None
    return params
