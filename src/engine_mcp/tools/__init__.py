"""The built-in tools, one adapter each; every path stays inside the project's directory."""
