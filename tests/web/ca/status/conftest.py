"""An authority that issues over a store of its own."""

from tests.services.ca.conftest import office

__all__ = ["office"]
