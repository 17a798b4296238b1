"""What an answer's int8 means, as the contract says it, for those who have to draw it."""

from __future__ import annotations

import re
from typing import Any

from onwrist.models.student.outputs import owner_of

LINE = re.compile(r"(-?[\d.]+) \+ (-?[\d.]+) \* value")
CLASS = re.compile(r"logit = (-?[\d.]+) \* value: the largest of (\w+) is the answer")
LOGIT = re.compile(r"logit = (-?[\d.]+) \* value: (\w+) above (-?[\d.]+)")


def meanings(answers: dict[str, Any]) -> list[dict[str, Any]]:
    """The contract's `answers` in its order.

    Returns:
        One per answer, `kind` being
        line: `offset` + `gain` * int8 in `unit`;
        logit: `gain` * int8, `word` where above `threshold`;
        class: `gain` * int8, `word` where it is the largest of its `group`;
        raw: `gain` * int8, where the contract says neither.
    """
    return [_meaning(name, answers) for name in answers["names"]]


def _meaning(name: str, answers: dict[str, Any]) -> dict[str, Any]:
    scale = float(answers["scale"])
    title = name.replace("_", " ").capitalize()
    said = {key: text for key, text in answers.items() if owner_of(key, answers["names"]) == name}
    for key, text in said.items():
        if line := LINE.fullmatch(str(text)):
            unit = key.removeprefix(name).strip("_").upper()
            return {"name": name, "title": title, "kind": "line", "offset": float(line[1]), "gain": scale * float(line[2]), "unit": unit}  # fmt: skip
        if logit := LOGIT.fullmatch(str(text)):
            return {"name": name, "title": title, "kind": "logit", "gain": scale * float(logit[1]), "word": logit[2], "threshold": float(logit[3])}  # fmt: skip
        if known := CLASS.fullmatch(str(text)):
            word = name.removeprefix(f"{known[2]}.")
            return {"name": name, "title": word.replace("_", " "), "kind": "class", "gain": scale * float(known[1]), "group": known[2], "word": word}  # fmt: skip
    return {"name": name, "title": title, "kind": "raw", "gain": scale, "unit": ""}
