# pyright: basic, reportMissingImports=false
# Its packages live in an environment of their own.
"""LangGraph with its async SQLite saver: a chain of no-op nodes, every checkpoint written before the next.

`python langgraph_steps.py '{"folder", "executions", "steps", "at_once", "result"}'` prints steps per second.
"""

import asyncio
import json
import operator
import sys
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

import uvloop
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """What the chain carries along: the results so far."""

    results: Annotated[list[str], operator.add]


def chain(steps: int, result: str) -> StateGraph:
    """A graph of `steps` nodes in a row, each adding `result`."""

    async def node(_: State) -> dict[str, Any]:
        return {"results": [result]}

    graph = StateGraph(State)
    names = [f"step{number}" for number in range(steps)]
    for name in names:
        graph.add_node(name, node)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph


async def measure(work: dict[str, Any]) -> float:
    """Steps per second, after a warm-up."""
    async with AsyncSqliteSaver.from_conn_string(str(Path(work["folder"], "langgraph.db"))) as saver:
        graph = chain(work["steps"], work["result"]).compile(checkpointer=saver)
        turns = asyncio.Semaphore(work["at_once"])

        async def execution(name: str) -> None:
            async with turns:
                config = {"configurable": {"thread_id": name}, "recursion_limit": work["steps"] + 5}
                final = await graph.ainvoke({"results": []}, config, durability="sync")
            if len(final["results"]) != work["steps"]:
                raise RuntimeError(f"{name} has {len(final['results'])} results")

        await asyncio.gather(*(execution(f"warm-up {number}") for number in range(work["at_once"])))
        started = time.perf_counter()
        await asyncio.gather(*(execution(str(number)) for number in range(work["executions"])))
        return work["executions"] * work["steps"] / (time.perf_counter() - started)


if __name__ == "__main__":
    print(json.dumps({"steps_per_s": uvloop.run(measure(json.loads(sys.argv[1])))}))
