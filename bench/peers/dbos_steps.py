# pyright: basic, reportMissingImports=false
# Its packages live in an environment of their own.
"""DBOS on SQLite: a workflow of no-op steps, each one's result written before the next.

`python dbos_steps.py '{"folder", "executions", "steps", "at_once", "result", "wal"}'` prints steps per
second. `wal` gives it a write-ahead log with full synchronisation, which is faster than its default.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import sqlalchemy
import uvloop
from dbos import DBOS, DBOSConfig


def configured(work: dict[str, Any]) -> DBOSConfig:
    """DBOS in the given folder, with a fixed version and no noise."""
    url = f"sqlite:///{Path(work['folder'], 'dbos.db')}"
    config = DBOSConfig(
        name="steps",
        system_database_url=url,
        application_version="1",
        log_level="ERROR",
        run_admin_server=False,
    )
    if work["wal"]:
        engine = sqlalchemy.create_engine(url)

        @sqlalchemy.event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:  # noqa: ANN401 - any driver's connection
            connection.isolation_level = "IMMEDIATE"
            for pragma in ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=FULL"):
                connection.execute(f"PRAGMA {pragma}")

        config["system_database_engine"] = engine
    return config


async def measure(work: dict[str, Any]) -> float:
    """Steps per second, after a warm-up."""
    DBOS(config=configured(work))

    @DBOS.step()
    async def step() -> str:
        return work["result"]

    @DBOS.workflow()
    async def chain() -> int:
        return len([await step() for _ in range(work["steps"])])

    DBOS.launch()
    turns = asyncio.Semaphore(work["at_once"])

    async def execution() -> None:
        async with turns:
            if await chain() != work["steps"]:
                raise RuntimeError("a workflow ended too early")

    try:
        await asyncio.gather(*(execution() for _ in range(work["at_once"])))
        started = time.perf_counter()
        await asyncio.gather(*(execution() for _ in range(work["executions"])))
        return work["executions"] * work["steps"] / (time.perf_counter() - started)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    print(json.dumps({"steps_per_s": uvloop.run(measure(json.loads(sys.argv[1])))}))
