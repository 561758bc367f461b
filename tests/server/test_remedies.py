"""Every error says which calls help."""

import pytest

from engine_mcp.catalogue import CATALOGUE
from engine_mcp.server.listing import tools
from engine_mcp.server.remedies import Place, remedies
from tests.server.checking import conforming
from tests.server.samples import ID

SCHEMAS = {tool.name: tool.input_schema for tool in tools()}
SOMEWHERE = Place(tool="engine_resume", execution_id=ID, step="a")


@pytest.mark.req("002:L94")
@pytest.mark.parametrize("place", [Place(tool="engine_status"), SOMEWHERE], ids=["nowhere", "a step"])
@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_of_the_catalogue_has_a_call_that_helps(code: str, place: Place) -> None:
    found = remedies(code, place)
    assert found
    for action in found:
        assert action.why.endswith(".")
        if "execution_id" in action.arguments:
            conforming(action.arguments, SCHEMAS[action.tool])
        assert action.tool in SCHEMAS


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_code_has_remedies_of_its_own(code: str) -> None:
    assert code == "internal" or remedies(code, SOMEWHERE) != remedies("internal", SOMEWHERE)


def test_calls_about_an_execution_name_it_and_the_step_that_failed() -> None:
    [action] = remedies("replay_mismatch", SOMEWHERE)
    assert (action.tool, action.arguments) == ("engine_resume", {"execution_id": ID, "from_step": "a"})


def test_a_refused_call_is_to_be_made_again_in_another_way() -> None:
    [action] = remedies("invalid_argument", Place(tool="engine_budget"))
    assert (action.tool, action.arguments) == ("engine_budget", {})


def test_of_a_step_nothing_is_called_again_but_replaced() -> None:
    [action] = remedies("invalid_argument", SOMEWHERE)
    assert (action.tool, action.arguments) == ("engine_resume", {"execution_id": ID})
    assert "`steps`" in action.why


def test_without_an_execution_the_list_of_them_helps() -> None:
    [action] = remedies("js_error")
    assert (action.tool, action.arguments) == ("engine_status", {})
