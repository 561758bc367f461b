"""The least that the SDK makes a server of: one tool that says hello, on the SDK's own stdio transport."""

from mcp.server import MCPServer

server = MCPServer("hello")


@server.tool()
def hello(name: str) -> str:
    """Say hello."""
    return f"Hello, {name}!"


if __name__ == "__main__":
    server.run("stdio")
