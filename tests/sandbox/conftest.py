"""One sandbox for the tests of a module."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from saccade.sandbox import Notebook, Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """As it is set up by default."""
    made = Sandbox()
    yield made
    asyncio.run(made.close())


@pytest.fixture
async def notebook(sandbox: Sandbox) -> AsyncIterator[Notebook]:
    async with sandbox.notebook() as made:
        yield made
