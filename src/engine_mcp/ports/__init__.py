"""The ports: what the engine needs of the outside. Each docstring is the contract of its adapters."""

from engine_mcp.ports.context import TokenCounter, Windows
from engine_mcp.ports.money import Breakers, Ledger, PriceBook
from engine_mcp.ports.outside import Clock, Sandbox, ScriptHost, Sweeper
from engine_mcp.ports.records import ExecutionLog, Store
from engine_mcp.ports.running import AgentHost, Library, Runner
from engine_mcp.ports.tools import ToolAdapter, Workbench

__all__ = [
    "AgentHost",
    "Breakers",
    "Clock",
    "ExecutionLog",
    "Ledger",
    "Library",
    "PriceBook",
    "Runner",
    "Sandbox",
    "ScriptHost",
    "Store",
    "Sweeper",
    "TokenCounter",
    "ToolAdapter",
    "Windows",
    "Workbench",
]
