"""engine-mcp: durable, budgeted agent work over MCP."""

__version__ = "0.1.0"
