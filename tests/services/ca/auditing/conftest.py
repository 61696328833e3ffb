"""An authority that issues with all of its log."""

import pytest

from tests.services.ca.auditing.archive import Archive
from tests.services.ca.issuing.office import Office


@pytest.fixture
def archive(office: Office) -> Archive:
    return Archive(office)
