"""The least that the SDK makes a stream of: its own loop over the events, on one client."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from anthropic import AsyncAnthropic


@asynccontextmanager
async def reading(
    url: str, key: str, model: str
) -> AsyncGenerator[Callable[[str], Coroutine[Any, Any, int]]]:
    """What reads the answer to a prompt, and counts its deltas."""
    async with AsyncAnthropic(api_key=key, base_url=url, max_retries=0) as client:

        async def read(prompt: str) -> int:
            stream = await client.messages.create(
                model=model, max_tokens=16_000, messages=[{"role": "user", "content": prompt}], stream=True
            )
            count = 0
            async for event in stream:
                count += event.type == "content_block_delta"
            return count

        yield read
