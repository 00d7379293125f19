"""One sandbox for all tests that need no other."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from unhurried import UNHURRIED

from saccade.sandbox import Notebook, Sandbox, SandboxOptions


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """As it is set up by default, with time for slow cells."""
    made = Sandbox(SandboxOptions(limits=UNHURRIED))
    yield made
    asyncio.run(made.close())


@pytest.fixture
async def notebook(sandbox: Sandbox) -> AsyncIterator[Notebook]:
    async with sandbox.notebook() as made:
        yield made
