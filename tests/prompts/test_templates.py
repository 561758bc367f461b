"""Templates are the project's, the user's or the built-in; their errors name the file and the line."""

import re
from dataclasses import replace

import pytest

from engine_mcp.core.brief import Shown
from engine_mcp.core.plan import Mode
from engine_mcp.errors import TemplateError
from engine_mcp.prompts.filters import FILTERS
from engine_mcp.prompts.language import DEFAULT
from engine_mcp.prompts.library import MOST, TEMPLATES
from engine_mcp.prompts.meter import Meter, Runaway
from engine_mcp.prompts.values import values
from tests.prompts.places import Places

PAGE = TEMPLATES.parents[3] / "docs" / "how-to" / "write-prompts.md"
KEYS = "x" * 100_000


def text(at: Places, template: str, task: str = "Do it.") -> str:
    """What a template gives in place of the built-in one."""
    at.template("text", template)
    return at.prompt(at.brief(task, files=("a", "b"))).text


@pytest.mark.req("003:L23")
def test_a_template_of_the_project_comes_before_the_users_and_that_before_the_built_in(at: Places) -> None:
    assert "# Task\n\nDo it." in at.prompt(at.brief()).text
    at.write("user/templates/task.md.j2", "User: {{ task }}\n")
    assert at.prompt(at.brief()).text.startswith("User: Do it.\n\n# Rules")
    own = at.template("task", "Project: {{ task }}\n")
    assert at.prompt(at.brief()).text.startswith("Project: Do it.\n\n# Rules")
    own.unlink()
    assert at.prompt(at.brief()).text.startswith("User: Do it.")


def test_a_template_may_include_others_of_its_own(at: Places) -> None:
    at.template("house", "House rules for {{ mode }}.")
    assert text(at, '{% include "house.md.j2" %} {% include "task.md.j2" %}').startswith(
        "House rules for read. #"
    )


@pytest.mark.parametrize(
    ("template", "given"),
    [
        ("{{ task | upper }}", "DO IT."),
        (
            "{% for f in files %}{{ loop.index }}{{ f.path }}{% if not loop.last %}, {% endif %}{% endfor %}",
            "1a, 2b",
        ),
        ("{% for f in files if f.path != 'a' %}{{ f['path'] }}{% else %}none{% endfor %}", "b"),
        ("{% for x in outputs %}{% else %}none{% endfor %}", "none"),
        ("{% set t = task %}{{ t | length }} {{ files | length }}", "6 2"),
        ("{% with t = task %}{{ t[0] }}{{ t[-1] }}{{ t[:2] }}{% endwith %}", "D.Do"),
        ("{{ mode in ['read', 'write'] }} {{ 'x' if hands_on else 'y' }}", "True y"),
        ("{{ context is none }} {{ role is none and not skills }}", "True True"),
        ("{{ nothing | default('d') }} {{ handoff.nothing | default }}|{{ nothing is defined }}", "d |False"),
        ("{{ context | default('d') | json }}", "null"),
        ("{{ [1, 'a'] | join(', ') }} {{ '  a ' | trim | code }} {{ 'A' | lower }}", "1, a `a` a"),
        ("{{ task_type }} {{ handoff.kib }} {{ 'a`b' | code }}", "feature 16 ``a`b``"),
        ("{% raw %}{{ x }}{% endraw %}{# comment #}", "{{ x }}"),
        ("{{ 'x' | fenced('y') }}", "```y\nx\n```"),
        (
            "{% for x in [1, 2] %}{{ x }}{% endfor %}{% for k in handoff %} {{ k }}{% endfor %}",
            "12 kib items characters",
        ),
    ],
)
def test_templates_have_a_small_language(at: Places, template: str, given: str) -> None:
    assert text(at, template) == given


@pytest.mark.req("003:L23")
@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a\n{{ nothing }}", "line 2: 'nothing' is undefined"),
        ("a\n\n{{ nothing.below | upper }}", "line 3: 'nothing' is undefined"),
        ("{{ handoff.nothing }}", "line 1: 'dict object' has no attribute 'nothing'"),
        ("{% for x in nothing %}{% endfor %}", "line 1: 'nothing' is undefined"),
        ("\n{% if nothing %}{% endif %}", "line 2: 'nothing' is undefined"),
        ("a\n{% if %}", "line 2: "),
        ("{% for x in files %}", "line 1: "),
        ("a\nb {{ task", "line 2: "),
        ("\n{{ task | nothing }}", "line 2: there is no filter 'nothing'; there are code, fenced"),
        ("{{ task is nothing }}", "line 1: No test named 'nothing'"),
        ("\n{% include 'nothing.md.j2' %}", "line 2: there is no template 'nothing.md.j2'"),
        ("{% include '../roles/x.md.j2' %}", "line 1: there is no template"),
        ("{% include task %}", "line 1: there is no template 'Do it.'"),
        ("{% include nothing %}", "line 1: 'nothing' is undefined"),
        ("{% for x in task %}{% endfor %}", "line 1: a loop goes through a list"),
        ("{{ task | join }}", "line 1: join takes a list"),
        ("{{ hands_on | length }}", "line 1: length takes"),
        ("{% include 'text.md.j2' %}", "the template nests too deep"),
        ("{{ " + "(" * 20_000 + " }}", "text.md.j2"),
        ("{{ " + "not " * 15_000 + "task }}", "text.md.j2"),
    ],
)
def test_an_error_names_the_file_and_the_line(at: Places, template: str, said: str) -> None:
    with pytest.raises(TemplateError) as caught:
        text(at, template)
    file = str(at.project / ".engine-mcp/templates/text.md.j2")
    assert caught.value.message.startswith(file)
    assert said in caught.value.message
    assert caught.value.field == file


def test_an_error_in_an_included_template_names_that(at: Places) -> None:
    at.write("user/templates/task.md.j2", "\n\n{{ nothing }}")
    with pytest.raises(TemplateError, match=r"user/templates/task\.md\.j2, line 3: 'nothing'"):
        at.prompt(at.brief())


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ task.__class__.__mro__ }}",
        "{{ files.__init__ }}",
        "{{ handoff.keys }}",
        "{{ task.upper }}",
        "{{ task.upper() }}",
        "{{ self }}",
        "{{ self.__dict__ }}",
        "{{ loop }}",
        "{% for f in files %}{{ loop.__init__ }}{% endfor %}",
        "{% for f in files %}{{ loop.cycle('a') }}{% endfor %}",
        "{{ task | attr('__class__') }}",
        "{{ task | format }}",
        "{{ range(10) }}",
        "{{ dict() }}",
        "{{ lipsum() }}",
        "{{ cycler }}",
        "{{ namespace() }}",
        "{% macro m() %}{% endmacro %}",
        "{% import 'task.md.j2' as t %}",
        "{% from 'task.md.j2' import t %}",
        "{% extends 'task.md.j2' %}",
        "{% block b %}{% endblock %}",
        "{% filter upper %}{% endfilter %}",
        "{% set x %}{% endset %}",
        "{% call x() %}{% endcall %}",
        "{% autoescape true %}{% endautoescape %}",
        "{{ 'a' ~ 'b' }}",
        "{{ 'a' * 9 }}",
        "{{ 9 ** 9 }}",
        "{{ '%09d' % 1 }}",
        "{{ 1 + 1 }}",
        "{{ [task, task] }}",
        "{{ (task, task) }}",
        "{{ {'a': task} }}",
        "{% for f in files recursive %}{% endfor %}",
        "{% set files.x = 1 %}",
    ],
)
def test_whatever_leads_out_of_the_values_is_refused(at: Places, template: str) -> None:
    with pytest.raises(TemplateError, match=r"text\.md\.j2, line 1: "):
        text(at, template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for k in context %}{% for k in context %}{% endfor %}{% endfor %}", "100000 steps"),
        ("{% for k in context %}{{ task | length }}{% endfor %}" * 1000, "100000 steps"),
        ("{% set x = context | json %}" + "{% set x = x | json %}" * 60, "more than 8 Mi characters"),
        ("{{ context.keys | join(task) }}", "more than 8 Mi characters"),
        ("{% for k in context %}{{ context.large }}{% endfor %}", "too large"),
    ],
)
def test_a_template_that_runs_away_is_ended(at: Places, template: str, said: str) -> None:
    at.template("text", template)
    context = {"keys": list(KEYS), "large": KEYS, **{f'"{n}\\': n for n in range(1000)}}
    with pytest.raises(TemplateError, match=rf"text\.md\.j2, line 1: .*{said}|text\.md\.j2: .*{said}"):
        at.prompt(replace(at.brief(KEYS), context=context))


def test_templates_that_include_each_other_over_and_over_are_ended(at: Places) -> None:
    for number in range(40):
        at.template(f"n{number}", f'{{% include "n{number + 1}.md.j2" %}}' * 2)
    at.template("n40", "")
    with pytest.raises(TemplateError, match="100000 steps"):
        text(at, '{% include "n0.md.j2" %}')


def test_a_rendering_has_so_much_time() -> None:
    with pytest.raises(Runaway, match="longer than 0 s"):
        Meter(longest_s=0).step()


@pytest.mark.parametrize("name", MOST)
def test_each_part_of_a_prompt_is_of_bounded_size(at: Places, name: str) -> None:
    at.template(name, "{{ task }}")
    most = MOST[name]
    assert at.prompt(at.brief("x" * most))
    with pytest.raises(TemplateError, match=rf"{name}\.md\.j2.*: the text that it gives is too large"):
        at.prompt(at.brief("x" * (most + 1)))


@pytest.mark.parametrize(
    ("content", "said"), [(b"\xff", "not UTF-8 text"), (b" " * ((64 << 10) + 1), "larger than 64 KiB")]
)
def test_a_template_is_text_of_bounded_size(at: Places, content: bytes, said: str) -> None:
    at.write("project/.engine-mcp/templates/text.md.j2", content)
    with pytest.raises(TemplateError, match=rf"text\.md\.j2: the template cannot be read: .*{said}"):
        at.prompt(at.brief())


def test_a_link_out_of_the_project_is_not_followed(at: Places) -> None:
    link = at.template("task", "")
    link.unlink()
    link.symlink_to(at.write("secret", "secret"))
    with pytest.raises(TemplateError, match=r"task\.md\.j2: the template cannot be read: .*outside"):
        at.prompt(at.brief())


@pytest.mark.req("003:L23")
@pytest.mark.parametrize(
    "hostile", ["{{ 7 * 7 }}", "{% include 'x' %}", "{# gone #}", "{% raw %}", "{{ ''.__class__ }}"]
)
def test_content_that_looks_like_a_template_stays_as_it_is(at: Places, hostile: str) -> None:
    at.write("project/a", hostile)
    at.write("project/.engine-mcp/roles/own.md", f"---\nname: own\ndescription: d\n---\n{hostile}")
    at.write("home/.claude/skills/s/SKILL.md", f"---\nname: s\n---\n{hostile}")
    brief = replace(
        at.brief(f"task {hostile}", files=("a",)),
        role="own",
        skills=("s",),
        context={"c": hostile},
        outputs=(Shown(step="s", text=hostile),),
        again=hostile,
    )
    prompt = at.prompt(brief)
    assert prompt.system.count(hostile) == 2
    assert prompt.text.count(hostile) == 4
    assert prompt.again.startswith(hostile)


def test_every_value_of_a_template_is_plain(at: Places) -> None:
    def plain(value: object) -> bool:
        match value:
            case dict():
                return all(plain(item) for item in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any
            case list():
                return all(plain(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any
            case _:
                return value is None or type(value) in {str, int, float, bool}

    brief = replace(at.brief(mode=Mode.WRITE), outputs=(Shown(step="s", text="t"),))
    assert plain(values(brief, None, [], []))


def test_the_examples_of_the_page_are_a_role_and_a_template(at: Places) -> None:
    examples = dict(
        re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    )
    at.write("user/roles/security.md", examples["security.md"])
    at.write("user/templates/task.md.j2", examples["task.md.j2"])
    prompt = at.prompt(replace(at.brief(), role="security", context={"ticket": "T-1"}))
    assert "the way an attacker would" in prompt.system
    assert "The ticket is T-1." in prompt.text
    assert "The ticket is unknown." in at.prompt(at.brief()).text


def test_the_page_on_templates_names_every_value_filter_and_template(at: Places) -> None:
    page = PAGE.read_text(encoding="utf-8")
    names = [*values(at.brief(), None, [], []), *FILTERS, DEFAULT, *(f.name for f in TEMPLATES.iterdir())]
    assert [name for name in names if f"`{name}`" not in page] == []
