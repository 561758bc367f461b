"""The MCP server: five tools over stdio."""
