"""The price book: exact, rounded up once, by length and date, and never 0 for what has no price."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Quote
from engine_mcp.ports import PriceBook
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prices.names import named
from engine_mcp.prompts.library import TEMPLATES
from tests.prices.listing import HAIKU_LONG, HAIKU_SHORT, MILLION, NOW, ROWS, Row, used

LAZY = """
import sys
import anyio

def offline(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"the network was used: {event} {arguments}")

sys.addaudithook(offline)
from engine_mcp.core.budget import Usage
from engine_mcp.prices.book import GenaiPrices
book = GenaiPrices(None)
assert "genai_prices" not in sys.modules
anyio.run(book.open)
assert "genai_prices" in sys.modules
assert book.quote("claude-opus-5-5", Usage(tokens_in=1), 0.0).micros == 4
"""
counts = st.integers(0, 10**12)
small = st.integers(0, 20_000)


@st.composite
def usages(draw: st.DrawFn, of: st.SearchStrategy[int] = counts) -> Usage:
    written = draw(of)
    return Usage(
        tokens_in=draw(of),
        tokens_out=draw(of),
        cache_read=draw(of),
        cache_write=written,
        cache_write_1h=draw(st.integers(0, written)),
    )


priced = st.sampled_from(sorted(ROWS))


def day(year: int, month: int, at: int, hour: int = 12) -> float:
    return datetime(year, month, at, hour, tzinfo=UTC).timestamp()


def micros(book: GenaiPrices, model: str, usage: Usage, at: float = NOW) -> int:
    quote = book.quote(model, usage, at)
    assert quote.micros is not None
    return quote.micros


def test_it_is_a_price_book() -> None:
    book: PriceBook = GenaiPrices(None)
    assert isinstance(book, GenaiPrices)


def test_the_package_is_loaded_when_the_book_is_opened_and_asks_nobody(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LAZY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_a_book_that_is_not_open_prices_nothing() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        GenaiPrices(None).quote("claude-opus-5-5", Usage(), NOW)


@pytest.mark.anyio
async def test_a_book_is_read_once_however_many_open_it(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    os.mkfifo(file)  # who reads it a second time waits until somebody writes a second time
    book = GenaiPrices(file)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(book.open)
            await anyio.to_thread.run_sync(file.write_text, "models: {mine: {input: 1, output: 2}}")
        await book.open()
    assert micros(book, "mine", Usage(tokens_in=1, tokens_out=1)) == 3


@pytest.mark.anyio
async def test_a_book_that_could_not_be_opened_can_be_opened_later(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("models: {mine: {input: -1, output: 2}}")
    book = GenaiPrices(file)
    with pytest.raises(Exception, match=r"mine\.input"):
        await book.open()
    file.write_text("models: {mine: {input: 1, output: 2}}")
    await book.open()
    assert micros(book, "mine", Usage(tokens_in=1)) == 1


@pytest.mark.req("003:L46")
@pytest.mark.parametrize("model", ROWS)
def test_a_use_costs_what_the_list_says(book: GenaiPrices, model: str) -> None:
    row = ROWS[model]
    assert micros(book, model, Usage(tokens_in=MILLION)) == float(row.input) * MILLION
    assert micros(book, model, Usage(tokens_out=MILLION)) == float(row.output) * MILLION
    assert micros(book, model, Usage(cache_read=MILLION)) == float(row.read) * MILLION
    assert micros(book, model, Usage(cache_write=MILLION)) == float(row.write) * MILLION
    hour = Usage(cache_write=MILLION, cache_write_1h=MILLION)
    assert micros(book, model, hour) == float(row.hour) * MILLION
    assert micros(book, model, used(1000)) == row.micros(used(1000))


@pytest.mark.req("003:L46")
def test_the_models_of_the_three_aliases_have_exact_prices(book: GenaiPrices) -> None:
    usage = Usage(tokens_in=1234, tokens_out=567)
    assert micros(book, "claude-opus-5-5", usage) == 1234 * 4 + 567 * 20
    assert micros(book, "claude-sonnet-5-5", usage) == 1234 * 2 + 567 * 10
    assert micros(book, "claude-haiku-5-5", usage) == 407  # 123.4 + 283.5


def test_every_model_that_has_a_name_has_a_price(book: GenaiPrices) -> None:
    file = TEMPLATES.parent / "models.yaml"
    tables = cast("dict[str, dict[str, dict[str, str]]]", yaml.safe_load(file.read_text(encoding="utf-8")))
    ids = {model for table in ("tiers", "names") for by in tables[table].values() for model in by.values()}
    assert len(ids) > 30
    assert {model for model in ids if book.quote(model, used(1), NOW).micros is None} == set()


def test_a_quote_names_the_list_and_its_version(book: GenaiPrices) -> None:
    assert book.quote("claude-opus-5-5", Usage(), NOW) == Quote(
        micros=0, price=f"genai-prices {version('genai-prices')}"
    )


@pytest.mark.parametrize(
    ("usage", "row"),
    [
        (Usage(tokens_in=100_000, tokens_out=1000), HAIKU_SHORT),
        (Usage(tokens_in=100_001, tokens_out=1000), HAIKU_LONG),
        (Usage(tokens_in=1, cache_read=99_999, tokens_out=1000), HAIKU_SHORT),
        (Usage(tokens_in=1, cache_read=60_000, cache_write=40_000, tokens_out=1000), HAIKU_LONG),
        (Usage(cache_write=100_001, cache_write_1h=100_000), HAIKU_LONG),
        (Usage(tokens_out=200_000), HAIKU_SHORT),
    ],
)
def test_the_whole_input_sets_the_price_of_the_whole_request(
    book: GenaiPrices, usage: Usage, row: Row
) -> None:
    assert micros(book, "claude-haiku-5-5", usage) == row.micros(usage)


def test_a_price_is_that_of_the_day(book: GenaiPrices) -> None:
    long = Usage(tokens_in=200_001, tokens_out=1)
    assert micros(book, "claude-sonnet-4-6", long, day(2026, 3, 12, 23)) == 6 * 200_001 + 23
    assert micros(book, "claude-sonnet-4-6", long, day(2026, 3, 13, 0)) == 3 * 200_001 + 15
    assert micros(book, "claude-sonnet-4-5", long) == 6 * 200_001 + 23


def test_a_part_of_a_micro_dollar_is_rounded_up_once(book: GenaiPrices) -> None:
    assert micros(book, "claude-haiku-5-5", Usage(tokens_in=1)) == 1
    assert micros(book, "claude-haiku-5-5", Usage(tokens_in=1, tokens_out=1, cache_read=1)) == 1
    assert micros(book, "claude-haiku-5-5", Usage(tokens_in=10)) == 1
    assert micros(book, "claude-haiku-5-5", Usage(tokens_in=11)) == 2


@pytest.mark.parametrize("model", ["claude-opus-5-5", "mine", ""])
def test_counts_below_zero_have_no_price(book: GenaiPrices, model: str) -> None:
    assert book.quote(model, Usage(tokens_in=5, tokens_out=-1), NOW) == Quote()


def test_more_writes_for_an_hour_than_writes_are_all_paid(book: GenaiPrices) -> None:
    assert micros(book, "claude-opus-5-5", Usage(cache_write=1, cache_write_1h=3)) == 24


def test_writes_for_an_hour_have_no_price_where_the_list_has_none(book: GenaiPrices) -> None:
    model = "github-copilot/claude-opus-5.5"
    assert micros(book, model, Usage(cache_write=2)) == 10
    assert book.quote(model, Usage(cache_write=2, cache_write_1h=1), NOW) == Quote()


@pytest.mark.parametrize(
    "model",
    [
        "github-copilot/gpt-4.1",  # free with a subscription
        "openrouter/deepseek/deepseek-chat:free",
        "cerebras/qwen-3-coder-480b",  # a row without a price
        "openai/text-embedding-3-small",  # no price for output
        "perplexity/sonar",  # a price for each request besides
    ],
)
def test_a_row_that_does_not_say_what_everything_costs_is_no_price(book: GenaiPrices, model: str) -> None:
    assert book.quote(model, Usage(tokens_in=1000, tokens_out=1000), NOW) == Quote()


def test_a_row_of_nothing_but_zeros_is_no_price() -> None:
    from genai_prices.types import ModelPrice  # noqa: PLC0415 - as late as the product does

    from engine_mcp.prices.listed import cost  # noqa: PLC0415 - it imports the package

    free = ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))
    assert cost(free, Usage(tokens_in=1)) is None
    assert cost(free, Usage()) == 0


@given(model=priced, usage=usages())
def test_a_quote_is_exact(book: GenaiPrices, model: str, usage: Usage) -> None:
    assert micros(book, model, usage) == ROWS[model].micros(usage)


@given(usage=usages(small))
def test_a_quote_is_exact_below_and_above_a_threshold(book: GenaiPrices, usage: Usage) -> None:
    long = usage.tokens_in + usage.cache_read + usage.cache_write > 100_000
    row = HAIKU_LONG if long else HAIKU_SHORT
    assert micros(book, "claude-haiku-5-5", usage) == row.micros(usage)


@st.composite
def single(draw: st.DrawFn) -> Usage:
    """Some more of one kind of token."""
    more = draw(counts)
    kinds = Usage(tokens_in=more), Usage(tokens_out=more), Usage(cache_read=more), Usage(cache_write=more)
    return draw(st.sampled_from([*kinds, Usage(cache_write=more, cache_write_1h=more)]))


@given(model=priced, usage=usages(), more=single())
def test_who_uses_more_of_anything_does_not_pay_less(
    book: GenaiPrices, model: str, usage: Usage, more: Usage
) -> None:
    assert micros(book, model, usage + more) >= micros(book, model, usage)


@given(usage=usages(), more=single())
def test_who_uses_more_does_not_pay_less_where_a_threshold_is_passed_either(
    book: GenaiPrices, usage: Usage, more: Usage
) -> None:
    assert micros(book, "claude-haiku-5-5", usage + more) >= micros(book, "claude-haiku-5-5", usage)


@given(one=usages(small), other=usages(small))
def test_a_sum_costs_no_less_than_its_parts_where_a_threshold_is_passed(
    book: GenaiPrices, one: Usage, other: Usage
) -> None:
    apart = micros(book, "claude-haiku-5-5", one) + micros(book, "claude-haiku-5-5", other)
    assert micros(book, "claude-haiku-5-5", one + other) >= apart - 1


@given(model=priced, one=usages(), other=usages())
def test_two_reports_cost_what_one_would_or_a_micro_dollar_more(
    book: GenaiPrices, model: str, one: Usage, other: Usage
) -> None:
    apart = micros(book, model, one) + micros(book, model, other)
    assert 0 <= apart - micros(book, model, one + other) <= 1


@given(model=st.text(max_size=40), usage=usages())
def test_nothing_that_is_unknown_costs_nothing(book: GenaiPrices, model: str, usage: Usage) -> None:
    if named(model) is None:
        assert book.quote(model, usage, NOW) == Quote()


def test_no_row_of_the_whole_list_makes_a_use_free(book: GenaiPrices) -> None:
    from genai_prices.data import providers  # noqa: PLC0415 - only once the book is open

    models = [f"{provider.id}/{row.id}" for provider in providers for row in provider.models]
    quotes = [book.quote(model, used(1), NOW) for model in models]
    assert len(models) > 1000
    assert all(quote.micros is None or quote.micros > 0 for quote in quotes)
