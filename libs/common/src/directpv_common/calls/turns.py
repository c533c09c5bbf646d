"""Long work in slices, between which others on the loop have their turn."""

import asyncio
from collections.abc import Generator
from typing import TypeVar

R = TypeVar("R")

Steps = Generator[None, None, R]
"""Work that yields after each slice of some hundred microseconds, and returns its result."""


async def in_turns(steps: Steps[R]) -> R:
    """Return what ``steps`` give in the end; others have their turn between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: R = end.value
            return result
        await asyncio.sleep(0)
