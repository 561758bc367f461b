"""Plan files: YAML whose errors name the file, the line and the field."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import JsonValue, TypeAdapter, ValidationError

from engine_mcp.errors import EngineError, InvalidArgument

_ARGUMENTS = TypeAdapter(dict[str, JsonValue])
_PART = re.compile(r"[^.\[\]]+")


class _Loader(yaml.SafeLoader):
    """YAML without dates, which JSON does not have, and without keys that silently hide another."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class's own attribute
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The arguments that a plan file gives, and where in it they stand."""

    path: Path
    arguments: dict[str, JsonValue]
    root: yaml.Node

    def placed(self, error: EngineError) -> EngineError:
        """The same error with the file and the line of the field that it names."""
        if error.field is None:
            return error
        line = _line(self.root, _PART.findall(error.field))
        where = f"{self.path}, line {line}, {error.field}"
        return type(error)(f"{where}: {error.message}", field=error.field, hint=error.hint)


def read_plan(path: Path) -> PlanFile:
    """Read a plan file; raises InvalidArgument where it is not one."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise InvalidArgument(f"{path} holds no plan: its fields by name are missing.", field="plan")
        _check_keys(root, path)
        value: object = loader.construct_document(root)  # pyright: ignore[reportUnknownMemberType] - in its stubs
        return PlanFile(path, _ARGUMENTS.validate_python(value), root)
    except yaml.YAMLError as error:
        raise InvalidArgument(f"{path} is not YAML: {error}", field="plan") from error
    except RecursionError:
        raise InvalidArgument(f"{path} is nested too deeply, or refers to itself.", field="plan") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}", field="plan") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidArgument(f"{path}, {where}: {first['msg']}.", field=where) from None


def _check_keys(node: yaml.Node, path: Path) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, path)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if key.value in seen:
            text = f"{path}, line {_begins(key)}: {key.value!r} stands there twice."
            raise InvalidArgument(text, field=str(key.value))
        seen.add(key.value)
        _check_keys(value, path)


def _line(node: yaml.Node, parts: list[str]) -> int:
    """The line of the field at this path, or of the deepest part of the path that is there."""
    line = _begins(node)
    for part in parts:
        place = _below(node, part)
        if place is None:
            break
        line, node = place
    return line


def _below(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the value of a member of a node."""
    if isinstance(node, yaml.SequenceNode):
        found = node.value[int(part)] if part.isdigit() and int(part) < len(node.value) else None
        return (_begins(found), found) if found is not None else None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return _begins(key), value
    return None


def _begins(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1
