"""The user's price file: before the list, exact, and strict about what it does not know."""

from hashlib import sha256
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Quote
from engine_mcp.errors import InvalidArgument
from engine_mcp.prices.book import GenaiPrices
from engine_mcp.prices.overrides import Rate, read
from tests.prices.listing import MILLION, NOW, used


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices.yaml"


def opened(file: Path) -> GenaiPrices:
    book = GenaiPrices(file)
    anyio.run(book.open)
    return book


def refused(file: Path, text: str) -> InvalidArgument:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"prices\.yaml") as told:
        read(file)
    return told.value


def test_without_a_file_the_list_counts(file: Path) -> None:
    assert opened(file).quote("claude-opus-5-5", Usage(tokens_in=1), NOW).micros == 4


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "models: {}"])
def test_a_file_without_prices_changes_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert opened(file).quote("claude-opus-5-5", Usage(tokens_in=1), NOW).price.startswith("genai-prices")


@pytest.mark.req("003:L46")
def test_a_price_of_the_user_comes_before_the_list_and_is_told(file: Path) -> None:
    file.write_text("models: {claude-opus-5-5: {input: 3, output: 15}}")
    quote = opened(file).quote("anthropic/claude-opus-5-5", Usage(tokens_in=10, tokens_out=1), NOW)
    assert quote == Quote(micros=45, price=f"user prices.yaml {sha256(file.read_bytes()).hexdigest()[:8]}")
    assert opened(file).quote("claude-opus-5", Usage(tokens_in=1), NOW).micros == 5


def test_a_name_comes_before_a_glob_and_the_first_glob_before_the_next(file: Path) -> None:
    file.write_text(
        """
models:
  "*": {input: 9, output: 9}
  "claude-*": {input: 8, output: 8}
  claude-sonnet-5-5: {input: 7, output: 7}
"""
    )
    book, one = opened(file), Usage(tokens_in=1)
    assert book.quote("claude-sonnet-5-5", one, NOW).micros == 7
    assert book.quote("claude-sonnet-5-5-20261001[1m]", one, NOW).micros == 7
    assert book.quote("claude-opus-5-5", one, NOW).micros == 9
    assert book.quote("who knows", one, NOW).micros == 9


def test_a_glob_takes_the_models_of_a_provider_and_no_others(file: Path) -> None:
    file.write_text('models: {"my-proxy/*": {input: 1, output: 2}, "local/qwen-?": {input: 3, output: 3}}')
    book, one = opened(file), Usage(tokens_in=1)
    assert book.quote("my-proxy/claude-opus-5-5", one, NOW).micros == 1
    assert book.quote("local/Qwen-3", one, NOW).micros == 3
    assert book.quote("local/qwen-30", one, NOW).micros is None
    assert book.quote("not-my-proxy/x", one, NOW).micros is None


def test_brackets_in_a_name_are_only_brackets(file: Path) -> None:
    file.write_text('models: {"claude-sonnet-5-5[1m]": {input: 6, output: 6}}')
    book = opened(file)
    assert book.quote("claude-sonnet-5-5[1m]", Usage(tokens_in=1), NOW).micros == 6
    assert book.quote("claude-sonnet-5-5", Usage(tokens_in=1), NOW).micros == 2
    assert book.quote("claude-sonnet-5-51", Usage(tokens_in=1), NOW).micros is None


def test_zero_for_everything_declares_a_free_model(file: Path) -> None:
    file.write_text("models: {local/llama: {input: 0, output: 0}}")
    assert opened(file).quote("local/llama", used(1000), NOW).micros == 0


@pytest.mark.parametrize(
    ("rates", "usage", "micros"),
    [
        ("", Usage(cache_read=10), 40),
        ("", Usage(cache_write=10), 40),
        ("", Usage(cache_write=10, cache_write_1h=10), 40),
        (", cache_write: 5", Usage(cache_write=10, cache_write_1h=10), 50),
        (", cache_write: 5, cache_write_1h: 8", Usage(cache_write=10, cache_write_1h=4), 62),
        (", cache_read: 0.2", Usage(cache_read=10), 2),
        (", cache_read: 0", Usage(cache_read=10), 0),
    ],
)
def test_a_cache_price_that_is_left_out_is_not_free(
    file: Path, rates: str, usage: Usage, micros: int
) -> None:
    file.write_text(f"models: {{mine: {{input: 4, output: 20{rates}}}}}")
    assert opened(file).quote("mine", usage, NOW).micros == micros


def test_a_price_is_taken_to_the_last_digit(file: Path) -> None:
    file.write_text("models: {mine: {input: 0.100000000001, output: 0.3}}")
    book = opened(file)
    assert book.quote("mine", Usage(tokens_in=10**12), NOW).micros == 100_000_000_001
    assert book.quote("mine", Usage(tokens_out=10 * MILLION), NOW).micros == 3 * MILLION


@given(tenths=st.integers(0, 10**7), tokens=st.integers(0, 10**12))
def test_a_tenth_of_a_dollar_is_exactly_that(tenths: int, tokens: int) -> None:
    rate = Rate.model_validate({"input": f"{tenths // 10}.{tenths % 10}", "output": "0"})
    assert rate.micros(Usage(tokens_in=tokens)) * 10 == tenths * tokens


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("models: {a: {input: -1, output: 1}}", "models.a.input"),
        ("models: {a: {input: 1}}", "models.a.output"),
        ("models: {a: {input: 1, output: 1, cached: 1}}", "models.a.cached"),
        ("models: {a: {input: .inf, output: 1}}", "models.a.input"),
        ("models: {a: {input: .nan, output: 1}}", "models.a.input"),
        ("models: {a: {input: NaN, output: 1}}", "models.a.input"),
        ("models: {a: {input: cheap, output: 1}}", "models.a.input"),
        ("models: {a: {input: 1e9, output: 1}}", "models.a.input"),
        ("models: {a: {input: , output: 1}}", "models.a.input"),
        ("models: {a: 3}", "models.a"),
        ("models: [a]", "models"),
        ("prices: {}", "prices"),
        ("- a", "models"),
    ],
)
def test_an_error_names_the_file_and_the_field(file: Path, text: str, field: str) -> None:
    told = refused(file, text)
    assert (told.code, told.field) == ("invalid_argument", field)
    assert field in told.message


@pytest.mark.parametrize(
    "text", ["models: {", "models: {a: {input: 1, output: 1, input: 2}}", "? [a, b]\n: c\n", "\ttab: 1"]
)
def test_what_is_not_read_as_it_was_meant_is_refused(file: Path, text: str) -> None:
    assert refused(file, text).field == str(file)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match=r"prices\.yaml"):
        read(file)
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read(file.parent)
