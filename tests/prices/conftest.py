"""An open price book without a price file."""

import anyio
import pytest

from engine_mcp.prices.book import GenaiPrices


@pytest.fixture(scope="session")
def book() -> GenaiPrices:
    found = GenaiPrices(None)
    anyio.run(found.open)
    return found
