"""The tools that every engine has."""

from engine_mcp.ports import ToolAdapter
from engine_mcp.tools.artifact import ArtifactTool
from engine_mcp.tools.files_list import FilesList
from engine_mcp.tools.files_read import FilesRead
from engine_mcp.tools.files_stat import FilesStat
from engine_mcp.tools.files_write import FilesWrite

BUILT_IN: tuple[ToolAdapter, ...] = (FilesRead(), FilesList(), FilesStat(), FilesWrite(), ArtifactTool())
