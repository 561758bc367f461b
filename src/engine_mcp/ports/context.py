"""What is known of the windows of models, and of the tokens of texts."""

from typing import Protocol

from engine_mcp.core.window import Window, WindowLimits


class TokenCounter(Protocol):
    """Counts the tokens of texts, near enough to be corrected by what providers report."""

    async def open(self) -> None:
        """Load the vocabulary; returns at once where that is done. Without it `count` estimates."""
        ...

    def count(self, text: str) -> int:
        """The tokens of a text, whatever it holds; at once, and without the network."""
        ...


class Windows(Protocol):
    """How large the windows of models are."""

    async def open(self) -> None:
        """Load what is known; returns at once where that is done. Nothing else may be asked before."""
        ...

    def window(self, model: str | None, told: Window | None = None, *, endpoint: str = "") -> Window:
        """The window of a model as a runtime names it, at an endpoint.

        In this order: what the operator says, what was `told` by the runtime or the provider now or
        earlier, the listed one, and an assumed one.
        """
        ...

    def limits(self, model: str | None) -> WindowLimits:
        """What the operator chose for a model, over what is chosen for all."""
        ...

    async def learn(self, model: str, window: Window, *, endpoint: str = "") -> None:
        """Keep what was told for later, also in other processes; a failure does nothing."""
        ...
