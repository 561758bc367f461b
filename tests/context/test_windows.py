"""What is known of windows: who is believed first, what is learned, and that nothing about it ever fails."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from engine_mcp.context.windows import DAY_S, KEPT_S, LARGEST, NAME, Chosen, KnownWindows
from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Quote
from engine_mcp.core.window import Window, WindowLimits
from engine_mcp.errors import InvalidArgument
from engine_mcp.ports import PriceBook, Windows
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prices.names import spellings

NOW = 1_800_000_000.0
MODEL = "claude-opus-5-5"
TOLD = Window(tokens=300_000, source="provider")


@dataclass
class Times:
    """A clock that a test sets."""

    at: float = NOW

    def now(self) -> float:
        return self.at

    async def sleep_until(self, at: float) -> None:
        self.at = at
        await anyio.lowlevel.checkpoint()


@dataclass
class Listed:
    """A price list with these windows."""

    windows: dict[str, Window] = field(default_factory=dict[str, Window])

    async def open(self) -> None:
        await anyio.lowlevel.checkpoint()

    def quote(self, model: str, usage: Usage, at: float) -> Quote:
        del model, usage, at
        return Quote()

    def window(self, model: str) -> Window | None:
        return self.windows.get(model)


def known(
    chosen: Chosen = Chosen(),  # noqa: B008 - frozen
    prices: PriceBook | None = None,
    folder: Path | None = None,
    clock: Times | None = None,
) -> KnownWindows:
    windows = KnownWindows(chosen, prices or Listed(), clock or Times(), folder, spellings)
    anyio.run(windows.open)
    return windows


def learn(windows: Windows, model: str, window: Window) -> None:
    anyio.run(windows.learn, model, window)


def real(tmp_path: Path, text: str = "") -> GenaiPrices:
    """The price book with this file of the user's."""
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    return GenaiPrices(file)


@pytest.mark.req("000:3.1.2")
@pytest.mark.parametrize(
    ("model", "tokens", "cliffs"),
    [
        ("claude-opus-5-5", 1_000_000, ()),
        ("claude-opus-5-5-20261001", 1_000_000, ()),
        ("anthropic/claude-haiku-5-5", 1_000_000, (100_000,)),
        ("claude-haiku-4-5", 200_000, ()),
        ("claude-opus-4-1", 200_000, ()),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, ()),
        ("claude-sonnet-4-5", 200_000, (200_000,)),
        ("claude-sonnet-4-6", 1_000_000, ()),
        ("claude-sonnet-4-5[1m]", 1_000_000, (200_000,)),
        ("sonnet[1m]", 1_000_000, ()),
    ],
)
def test_the_windows_of_known_models_are_listed(model: str, tokens: int, cliffs: tuple[int, ...]) -> None:
    found = known(prices=GenaiPrices(None)).window(model)
    assert (found.tokens, found.cliffs) == (tokens, cliffs)
    assert found.source == ("runtime" if model.endswith("[1m]") else "prices")


@pytest.mark.req("000:3.1.2")
@pytest.mark.parametrize("model", ["my-llm", "openai-compatible/thing", "", None])
def test_of_an_unknown_model_a_careful_window_is_assumed(model: str | None) -> None:
    found = known(prices=GenaiPrices(None)).window(model)
    assert found == Window(tokens=200_000, source="assumed")


def test_the_operator_is_believed_before_the_runtime_and_the_runtime_before_the_list() -> None:
    prices = Listed({MODEL: Window(tokens=1000, source="prices", cliffs=(500,))})
    chosen = known(Chosen(windows={"Claude-Opus-5-5": 64_000}), prices)
    assert chosen.window(MODEL, TOLD) == Window(tokens=64_000, source="settings", cliffs=(500,))
    unchosen = known(prices=prices)
    assert unchosen.window(MODEL, TOLD) == Window(tokens=300_000, source="provider", cliffs=(500,))
    learn(unchosen, MODEL, Window(tokens=250_000, source="runtime"))
    assert unchosen.window(MODEL, TOLD).tokens == 300_000
    assert unchosen.window(MODEL).tokens == 250_000


def test_a_window_is_found_by_other_names_of_the_model_but_the_long_one_by_its_own() -> None:
    windows = known(Chosen(windows={MODEL: 64_000}))
    assert windows.window("anthropic/claude-opus-5-5-20261001").tokens == 64_000
    assert windows.window(f"{MODEL}[1m]").tokens == 1_000_000
    assert known(Chosen(windows={f"{MODEL}[1M]": 900_000})).window(f"{MODEL}[1m]").tokens == 900_000


def test_a_window_of_nothing_is_not_believed() -> None:
    windows = known()
    learn(windows, MODEL, Window(tokens=0, source="provider"))
    assert windows.window(MODEL, Window(tokens=0, source="provider")).source == "assumed"


def test_limits_of_a_model_stand_over_those_of_all() -> None:
    base = WindowLimits(trigger=0.7, model="haiku")
    windows: Windows = known(Chosen(limits=base, models={"Claude-Opus-5-5": WindowLimits(trigger=0.5)}))
    assert windows.limits(f"{MODEL}-20261001") == WindowLimits(trigger=0.5, model="haiku")
    assert windows.limits("other") == windows.limits(None) == base


class TestLearning:
    """What was told once is known to every process for a month."""

    def test_what_was_learned_is_known_to_the_next_process(self, tmp_path: Path) -> None:
        learn(known(folder=tmp_path / "a" / "b"), MODEL, TOLD)
        assert known(folder=tmp_path / "a" / "b").window(MODEL) == TOLD
        assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == [NAME]

    def test_what_another_process_learned_meanwhile_is_kept(self, tmp_path: Path) -> None:
        first, second = known(folder=tmp_path), known(folder=tmp_path)
        learn(first, MODEL, TOLD)
        learn(second, "other", TOLD)
        third = known(folder=tmp_path)
        assert third.window(MODEL) == third.window("other") == TOLD

    def test_after_a_month_it_is_asked_for_again(self, tmp_path: Path) -> None:
        learn(known(folder=tmp_path), MODEL, TOLD)
        almost, late = Times(NOW + KEPT_S - 1), Times(NOW + KEPT_S)
        assert known(folder=tmp_path, clock=almost).window(MODEL) == TOLD
        windows = known(folder=tmp_path, clock=late)
        assert windows.window(MODEL).source == "assumed"
        learn(windows, "other", TOLD)
        assert json.loads((tmp_path / NAME).read_text()).keys() == {"other"}

    def test_it_is_not_written_again_on_the_same_day(self, tmp_path: Path) -> None:
        clock = Times()
        windows = known(folder=tmp_path, clock=clock)
        learn(windows, MODEL, TOLD)
        (tmp_path / NAME).unlink()
        learn(windows, MODEL, TOLD)
        assert not (tmp_path / NAME).exists()
        clock.at += DAY_S
        learn(windows, MODEL, TOLD)
        assert (tmp_path / NAME).exists()

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b'{"claude-opus-5-5": 7}',
            b'{"claude-opus-5-5": {"tokens": -1, "source": "provider", "at": 1800000000}}',
            b'{"claude-opus-5-5": {"tokens": 9000, "source": "somebody", "at": 1800000000}}',
            b" " * (LARGEST + 1),
            b"[" * 100_000,
        ],
        ids=["empty", "torn", "list", "no text", "number", "negative", "nobody", "huge", "deep"],
    )
    def test_a_damaged_file_is_as_good_as_none_and_is_mended(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / NAME).write_bytes(content)
        windows = known(folder=tmp_path)
        assert windows.window(MODEL).source == "assumed"
        learn(windows, MODEL, TOLD)
        assert known(folder=tmp_path).window(MODEL) == TOLD

    def test_what_one_endpoint_says_is_not_believed_of_another(self, tmp_path: Path) -> None:
        windows = known(folder=tmp_path)
        anyio.run(windows.open)
        anyio.run(partial(windows.learn, MODEL, TOLD, endpoint="one.test"))
        again = known(folder=tmp_path)
        assert again.window(MODEL, endpoint="one.test") == TOLD
        assert again.window(MODEL, endpoint="other.test").source == "assumed"
        assert again.window(MODEL).source == "assumed"

    def test_one_entry_that_makes_no_sense_costs_no_other(self, tmp_path: Path) -> None:
        learn(known(folder=tmp_path), MODEL, TOLD)
        found = json.loads((tmp_path / NAME).read_text())
        (tmp_path / NAME).write_text(json.dumps({"other": "x", **found}))
        assert known(folder=tmp_path).window(MODEL) == TOLD

    def test_where_nothing_can_be_written_it_is_known_here_alone(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        windows = known(folder=tmp_path / "file" / "below")
        learn(windows, MODEL, TOLD)
        assert windows.window(MODEL) == TOLD
        (tmp_path / NAME).mkdir()
        windows = known(folder=tmp_path)
        learn(windows, MODEL, TOLD)
        assert {file.name for file in tmp_path.iterdir()} == {"file", NAME}


class TestPriceFile:
    """The user's price file may say how large a window is."""

    def test_its_window_comes_before_the_list(self, tmp_path: Path) -> None:
        text = "models: {claude-haiku-5-5: {input: 1, output: 5, context_window: 32000}}"
        found = known(prices=real(tmp_path, text)).window("anthropic/claude-haiku-5-5")
        assert found == Window(tokens=32_000, source="prices")

    def test_its_price_does_not_rise_with_the_input(self, tmp_path: Path) -> None:
        text = "models: {claude-haiku-5-5: {input: 1, output: 5}}"
        found = known(prices=real(tmp_path, text)).window("claude-haiku-5-5")
        assert found == Window(tokens=1_000_000, source="prices")

    @pytest.mark.parametrize("tokens", ["999", "-1", "many", "1.5", "100000001"])
    def test_a_window_that_is_none_is_refused_by_name(self, tmp_path: Path, tokens: str) -> None:
        text = f"models: {{m: {{input: 1, output: 5, context_window: {tokens}}}}}"
        with pytest.raises(InvalidArgument, match=r"prices\.yaml, models\.m\.context_window"):
            anyio.run(real(tmp_path, text).open)
