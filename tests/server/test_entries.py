"""The ledger of an execution: an entry for each attempt and model, page by page, and how far costs drift."""

from typing import Any

import pytest

from engine_mcp.core import event as ev
from engine_mcp.core.budget import Usage
from engine_mcp.core.charge import Charge
from engine_mcp.core.execution import Execution, Failure, Output
from engine_mcp.server.account import Asked, account
from engine_mcp.server.results import Account, output_schema
from tests.server.checking import checked
from tests.server.samples import NOW, after, begun, code, done, started

ACCOUNT = output_schema(Account)


def shown(execution: Execution, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - any of its fields
    return checked(account(execution, now=NOW + 9, asked=Asked(**asked)), ACCOUNT)


def charged(execution: Execution, *charges: Charge, step: str = "main") -> Execution:
    """With these charges reported by the attempt under way."""
    told = (
        ev.UsageReported(at=NOW + 1, step=step, number=1, usage=charge.usage, charge=charge)
        for charge in charges
    )
    return after(execution, *told)


def computed(model: str, tokens: int, micros: int) -> Charge:
    return Charge(
        model=model,
        usage=Usage(tokens_in=tokens, cost_micros=micros, cost_basis="computed"),
        computed_micros=micros,
        price="genai-prices 0.2.3",
    )


def reported(model: str, told: int, micros: int) -> Charge:
    return Charge(
        model=model,
        usage=Usage(tokens_out=10, cost_micros=told, cost_basis="reported"),
        reported_micros=told,
        computed_micros=micros,
        price="genai-prices 0.2.3",
    )


@pytest.mark.req("003:L55")
def test_each_model_of_an_attempt_has_an_entry_with_its_price() -> None:
    working = charged(begun(started(), "main"), computed("opus", 100, 1500), computed("haiku", 50, 20))
    ended = ev.AttemptSucceeded(
        at=NOW + 2, step="main", number=1, output=Output(value=1), usage=Usage(requests=3)
    )
    found = shown(after(working, ended))
    assert found["entries"] == [
        {
            "step": "main",
            "attempt": 1,
            "status": "succeeded",
            "model": "opus",
            "tokens": 100,
            "requests": 3,
            "seconds": 2.0,
            "cost_usd": 0.0015,
            "cost_basis": "computed",
            "computed_usd": 0.0015,
            "price": "genai-prices 0.2.3",
        },
        {
            "step": "main",
            "attempt": 1,
            "status": "succeeded",
            "model": "haiku",
            "tokens": 50,
            "cost_usd": 0.00002,
            "cost_basis": "computed",
            "computed_usd": 0.00002,
            "price": "genai-prices 0.2.3",
        },
    ]


def test_what_no_model_is_charged_with_has_an_entry_of_its_own() -> None:
    working = charged(begun(started(), "main"), computed("opus", 100, 1500))
    left = Usage(tokens_out=7, cost_micros=300, cost_basis="estimated")
    found = shown(after(working, ev.AttemptLost(at=NOW + 2, step="main", number=1, usage=left)))
    assert [entry["tokens"] for entry in found["entries"]] == [100, 7]
    assert sum(entry["cost_usd"] for entry in found["entries"]) == pytest.approx(0.0018)
    assert found["spent"]["cost_usd"] == 0.0018
    assert found["spent"]["tokens"] == 107


def test_an_attempt_under_way_shows_what_it_has_told() -> None:
    found = shown(charged(begun(started(), "main"), computed("opus", 100, 1500)))
    assert [(entry["tokens"], entry["seconds"]) for entry in found["entries"]] == [(100, 9.0)]


class TestPages:
    MANY = done(
        started(*(code(f"step-{number}") for number in range(50))), {f"step-{n}": 1 for n in range(50)}
    )

    @pytest.mark.req("003:L55")
    def test_entries_are_listed_page_by_page_until_the_last(self) -> None:
        seen: list[str] = []
        after_: int | None = 0
        while after_ is not None:
            found = shown(self.MANY, after=after_, limit=20)
            seen += [entry["step"] for entry in found["entries"]]
            after_ = found.get("next")
        assert seen == [f"step-{number}" for number in range(50)]

    def test_without_a_place_to_begin_the_newest_are_listed(self) -> None:
        found = shown(self.MANY, limit=3)
        assert [entry["step"] for entry in found["entries"]] == ["step-47", "step-48", "step-49"]
        assert found["entries_total"] == 50
        assert "first 47 of 50" in found["truncated"]
        assert "next" not in found

    def test_beyond_the_last_entry_there_is_nothing(self) -> None:
        found = shown(self.MANY, after=10**15)
        assert found["entries"] == []
        assert "next" not in found


class TestDrift:
    @pytest.mark.parametrize(("told", "warned"), [(1000, False), (1050, False), (1060, True), (940, True)])
    def test_reported_and_computed_costs_that_differ_are_warned_of(self, told: int, *, warned: bool) -> None:
        found = shown(charged(begun(started(), "main"), reported("opus", told, 1000)))
        assert found["drift"] == pytest.approx((told - 1000) / 1000)
        assert any("price list" in text for text in found["warnings"]) == warned

    def test_where_nothing_can_be_compared_there_is_none(self) -> None:
        assert "drift" not in shown(charged(begun(started(), "main"), computed("opus", 1, 1)))


def test_an_audit_is_shown_only_where_it_was_asked_for() -> None:
    failed = after(
        begun(started(), "main"),
        ev.AttemptFailed(at=NOW, step="main", number=1, failure=Failure("js_error", "x")),
    )
    assert "audit" not in shown(failed)
    assert shown(failed, audit=())["audit"] == []
    assert shown(failed, audit=("The execution counts 1, its journal 2.",))["audit"] != []
