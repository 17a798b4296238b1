"""The site's reference, made from the code whenever the site is built: spec, commands, C API (a hook of MkDocs)."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

from onwrist.command import VERBS
from onwrist.resources import C_SOURCES

HEADERS = ("onwrist.h", "onwrist_watch.h", "onwrist_telemetry.h", "onwrist_beats.h", "onwrist_kernels.h")


def on_files(files, config):
    """Add the made pages to the site's files."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown, **_):
    """`@module:NAME.part@` in a page is that constant of the code."""
    return re.sub(r"@(onwrist[\w.]*):([\w.]+)@", lambda m: constant(m[1], m[2]), markdown)


def constant(module: str, name: str) -> str:
    """A constant for people; parts of its name are attributes or keys."""
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def fields_said(kind: type) -> dict[str, str]:
    """The words under each field of a class and of those that it comes from."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        except (OSError, TypeError):
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for line, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                words = after.value if isinstance(after, ast.Expr) else None
                if isinstance(words, ast.Constant) and isinstance(words.value, str):
                    found[line.target.id] = " ".join(words.value.split())
    return found


def kind_said(hint: Any) -> str:
    """A type for people."""
    hint = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    if get_origin(hint) is not None and str(get_origin(hint)) == "typing.Literal":
        return ", ".join(f"`{v}`" for v in get_args(hint))
    if type(None) in get_args(hint):
        return " or ".join(kind_said(k) for k in get_args(hint) if k is not type(None))
    if get_origin(hint) in (tuple, list):
        inner = next(k for k in get_args(hint) if k is not Ellipsis)
        return f"list of {kind_said(inner)}"
    return {"str": "text", "int": "whole number", "float": "number", "bool": "yes or no", "Path": "path"}.get(
        getattr(hint, "__name__", str(hint)), getattr(hint, "__name__", str(hint))
    )


def cell(text: object) -> str:
    """Text inside a cell of a table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def spec_page() -> str:
    """Every field of the spec, from its model."""
    from pydantic import BaseModel

    from onwrist.spec import Spec

    lines = [
        "# The spec, field by field",
        "",
        "Made from `onwrist/spec.py`; with words and an example: [the spec](../spec.md).",
        "",
    ]

    def table(model: type[BaseModel], name: str) -> None:
        said = fields_said(model)
        inner = {n: m for n, f in model.model_fields.items() if (m := _model_of(f.annotation))}
        rows = [
            f"| `{n}` | {cell(_limited(kind_said(f.annotation), f.metadata))} | {cell(_default(f))} | {cell(said.get(n, ''))} |"
            for n, f in model.model_fields.items()
            if n not in inner
        ]
        doc = " ".join((model.__doc__ or "").split("\n\n")[0].split())
        lines.extend([f"## `[{name}]`" if name else "## At the top", "", doc, ""])
        if rows:
            lines.extend(["| field | type | default | what |", "|---|---|---|---|", *rows, ""])
        for n, m in inner.items():
            table(m, f"{name}.{n}" if name else n)

    table(Spec, "")
    return "\n".join(lines)


def _model_of(hint: Any) -> type | None:
    from pydantic import BaseModel

    for kind in (hint, *get_args(hint)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind
    return None


def _limited(kind: str, metadata: list) -> str:
    words = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = [f"{sign} {getattr(m, name)}" for m in metadata for name, sign in words.items() if hasattr(m, name)]
    return ", ".join([kind, *limits])


def _default(field) -> str:
    if field.is_required():
        return "must be given"
    value = field.default
    if value is None or value == ():
        return "none"
    return f"`{value}`" if not str(value).startswith("/") else f"`{str(value).rpartition('/')[2]}`, which ships"


def commands_page() -> str:
    """Every verb with its options, from their config classes."""
    lines = [
        "# Commands", "", "Made from the commands' own settings. `onwrist VERB --help` says the same; each is also a script of the checkout.", "",
    ]  # fmt: skip
    for verb, (place, name, what) in VERBS.items():
        config = getattr(importlib.import_module(f"onwrist.{place}"), name)
        said, hints = fields_said(config), get_type_hints(config, include_extras=True)
        lines += [
            f"## onwrist {verb}",
            "",
            f"{what[0].upper()}{what[1:]}.",
            "",
            "| option | type | default | what |",
            "|---|---|---|---|",
        ]
        for field in dataclasses.fields(config):
            shared, positional, called = _shared(hints[field.name], field.name)
            words = said.get(field.name) or shared
            option = called.upper() if positional else "--" + called.replace("_", "-")
            lines.append(
                f"| `{option}` | {cell(kind_said(hints[field.name]))} | {cell(_shown(field))} | {cell(words)} |"
            )
        lines.append("")
    return "\n".join(lines)


def _shared(hint: Any, name: str) -> tuple[str, bool, str]:
    """What a shared setting says of itself, whether it stands without its name, and the name that it has."""
    words, positional = "", False
    for m in getattr(hint, "__metadata__", ()):
        words = getattr(m, "help", None) or words
        positional = positional or "positional" in str(m).lower()
        name = getattr(m, "name", None) or name
    return words, positional, name


def _shown(field) -> str:
    if field.default is dataclasses.MISSING:
        made = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        return "must be given" if made is None else f"`{made}`"
    value = field.default
    if value is None or value == ():
        return ""
    text = str(value)
    return f"`{text.rpartition('/')[2]}`, which ships" if text.startswith("/") else f"`{text}`"


def c_page() -> str:
    """The C API, from the comments and declarations of its headers."""
    lines = [
        "# C API", "", "Made from the headers of a student's `c/` folder. How to build and call them: FIRMWARE.md of the bundle.", "",
    ]  # fmt: skip
    for name in HEADERS:
        path = C_SOURCES / name
        if path.is_file():
            lines += [f"## {name}", "", *_header(path.read_text())]
    return "\n".join(lines)


def _header(text: str) -> list[str]:
    """Comments that begin a line as paragraphs, what follows them as code; guards and includes left out."""
    found: list[str] = []
    for comment, code in re.findall(r"(?:^/\*(.*?)\*/[ \t]*\n)?((?:(?!^/\*).*\n)*)", text, re.MULTILINE | re.DOTALL):
        words = re.sub(r"^ \* ?", "", comment.strip(), flags=re.MULTILINE)
        if words:
            found += [_paragraphs(words), ""]
        kept = _declarations(code)
        if kept:
            found += ["```c", kept, "```", ""]
    return found


def _paragraphs(words: str) -> str:
    """Indented lines of a comment are code."""
    parts = []
    for block in re.split(r"\n\n+|\n(?=    )|(?<=\n)(?=[^ \n])", words):
        if block.startswith("    "):
            parts.append("```c\n" + textwrap.dedent(block.rstrip()) + "\n```")
        elif block.strip():
            parts.append(block.strip())
    joined = "\n".join(parts)
    joined = joined.replace("```\n```c\n", "")
    return re.sub(r"(?<!\n)\n```c", "\n\n```c", re.sub(r"```\n(?=[^\n`])", "```\n\n", joined))


def _declarations(code: str) -> str:
    lines = []
    for line in code.splitlines():
        if (not line.startswith("#") and not re.fullmatch(r'extern "C" \{|\}', line)) or (
            line.startswith("#define") and len(line.split()) > 2
        ):
            lines.append(line)
    return "\n".join(lines).strip("\n")


PAGES: dict[str, Callable[[], str]] = {
    "reference/spec.md": spec_page, "reference/commands.md": commands_page, "reference/c.md": c_page,
}  # fmt: skip
