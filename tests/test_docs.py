"""The documents say what is there: commands and options exist, code compiles, specs are specs, the site builds without a broken link."""

import ast
import dataclasses
import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from typing import get_type_hints

import pytest
from conftest import ROOT

from onwrist.command import VERBS
from onwrist.resources import C_SOURCES
from onwrist.spec import Spec

PAGES = sorted([*ROOT.glob("docs/**/*.md"), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))])
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# Words that stand for something of the reader's.
SHELLS = ("bash", "sh", "")


def blocks(page, *languages):
    return [textwrap.dedent(body) for _, language, body in FENCE.findall(page.read_text()) if language in languages]


def commands(page):
    """Lines of shell blocks, and code inside a sentence that begins like a command."""
    lines = [line for body in blocks(page, *SHELLS) for line in body.replace("\\\n", " ").splitlines()]
    prose = FENCE.sub("", page.read_text())
    lines += [c.replace("\n", " ") for c in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    for line in lines:
        for part in re.split(r"&&|;", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            if words:
                yield words


def options(verb):
    place, name, _ = VERBS[verb]
    config = getattr(importlib.import_module(f"onwrist.{place}"), name)
    hints = get_type_hints(config, include_extras=True)
    named = {
        f.name: next((m.name for m in getattr(hints[f.name], "__metadata__", ()) if getattr(m, "name", None)), f.name)
        for f in dataclasses.fields(config)
    }
    names = [n.replace("_", "-") for n in named.values()]
    return {"--help", "--debug", *(f"--{n}" for n in names), *(f"--no-{n}" for n in names)}


VERB_OF = {f"{place.replace('.', '/')}.py": verb for verb, (place, _, _) in VERBS.items()}
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page):
    wrong = []
    for words in commands(page):
        verb, rest = None, words[1:]
        if words[0] == "onwrist" and len(words) > 1 and not words[1].startswith("-") and words[1] != "VERB":
            verb = words[1] if words[1] in VERBS else wrong.append(words)
            rest = words[2:]
        elif words[0] == "python" and len(words) > 1 and words[1].endswith(".py"):
            script = words[1]
            if "/" in script and not (ROOT / script).is_file() and not script.startswith(("FLOOR", "my")):
                wrong.append(words)
            verb, rest = VERB_OF.get(script), words[2:]
        elif words[0] == "make" and len(words) > 1:
            wrong += [words for name in words[1:] if re.fullmatch(r"[a-z-]+", name) and name not in TARGETS]
        if verb:
            wrong += [(verb, w) for w in rest if w.startswith("--") and w.partition("=")[0] not in options(verb)]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_code_compiles_and_specs_are_specs(page):
    for body in blocks(page, "python"):
        ast.parse(body)
    for body in blocks(page, "toml"):
        found = tomllib.loads(body)
        if set(found) <= {"schema", *Spec.model_fields}:
            Spec.model_validate({k: v for k, v in found.items() if k != "schema"})


def hook(name):
    path = ROOT / "docs" / "hooks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"site_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_field_option_and_call():
    reference = hook("reference")
    spec, listed, c = (reference.PAGES[f"reference/{name}.md"]() for name in ("spec", "commands", "c"))
    for row in re.findall(r"^\| `.*$", spec + "\n" + listed, re.MULTILINE):
        assert row.rstrip(" |").count("|") >= 4, f"nothing is said of {row}"
    for verb in VERBS:
        part = listed.partition(f"## onwrist {verb}\n")[2].partition("\n## ")[0]
        missing = [o for o in options(verb) if not o.startswith("--no-") and o not in ("--help", "--debug")]
        assert all(f"`{o}`" in part or f"`{o[2:].upper()}`" in part for o in missing), verb
    assert "`held_out_share`" in spec
    for header in reference.HEADERS:
        code = re.sub(r"/\*.*?\*/", "", (C_SOURCES / header).read_text(), flags=re.DOTALL)
        for call in re.findall(r"\b(onwrist_\w+)\(", code):
            assert call in c, call


def test_constants_of_the_code_stand_in_the_pages():
    from onwrist.firmware_sim.parity.gates import LIMITS

    reference = hook("reference")
    text = (ROOT / "docs" / "explain" / "gates.md").read_text()
    made = reference.on_page_markdown(text)
    assert "@onwrist" not in made
    assert f"| {LIMITS.value_share:g} of its span" in made


def test_the_tutorial_was_run():
    tutorial = hook("tutorial")
    found = tutorial.blocks(tutorial.PAGE.read_text())
    assert {kind for kind, *_ in found} == {"python", "bash", "toml", "text"}
    for (kind, *_), (after, _, printed, *_) in zip(found, [*found[1:], found[0]], strict=True):
        if kind == "bash" and after == "text":
            assert printed.strip()


def test_the_site_builds_and_no_link_is_broken(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra `site` is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "c" / "index.html").is_file()
    pictures = list((tmp_path / "explain").glob("*.svg"))
    assert len(pictures) == 3
    assert not (tmp_path / "hooks").exists()


def test_links_of_the_readme_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (ROOT / link).exists(), f"{page.name}: {link}"
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_map_names_every_room_and_none_holds_a_fifth_of_the_lines():
    floors = ("onwrist", "signals", "models", "quantize", "export", "firmware_sim")
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = {m[1]: m[2] for m in re.finditer(r"^\| `(\w+)` \|[^|]*\| ([^\n]*) \|$", text, re.MULTILINE)}
    lines = {}
    for floor in floors:
        for file in sorted((ROOT / floor).rglob("*.py")):
            room = "/".join(file.relative_to(ROOT).parts[:-1][:2])
            lines[room] = lines.get(room, 0) + len(file.read_text().splitlines())
    rooms = [room for room in lines if "/" in room]
    assert [room for room in rooms if f"`{room.partition('/')[2]}`" not in table[room.partition("/")[0]]] == []
    assert max(lines[room] for room in rooms) < sum(lines.values()) / 5
    for path in re.findall(r"^\| [^|`]* \| (`[^|]*) \|$", text, re.MULTILINE):
        assert [p for p in re.findall(r"`([\w./]+/[\w./]*)`", path) if not (ROOT / p).exists()] == []
