"""Run the tutorial, and put what it printed into its page: `make tutorial` (ten minutes on two idle cores).

A block with a title is written to that file. Every line of a `bash` block is run, in order, in one empty folder; what it prints
on standard output replaces the `text` block after it. A command that has to fail says so in the block's title: `exits 1`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```\n', re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, str, str, int, int]]:
    """(language, title, content, where the content begins, where it ends) of each block."""
    return [(m[1], m[2] or "", m[3], m.start(3), m.end(3)) for m in BLOCK.finditer(text)]


def main() -> int:
    """Run every block of the page in order; the page is written only if all went as it says."""
    text = PAGE.read_text()
    made: list[tuple[int, int, str]] = []
    printed = ""
    place = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
        environment.pop("ONWRIST_DATA", None)
        environment["ONWRIST_DATA"] = str(Path(folder) / "none")
        for language, title, content, begin, end in blocks(text):
            if language == "text":
                made.append((begin, end, printed))
            elif language == "bash":
                wanted = int(title.removeprefix("exits ")) if title else 0
                began = time.monotonic()
                done = subprocess.run(
                    ["bash", "-e", "-c", content], cwd=folder, env=environment, capture_output=True, text=True
                )
                print(f"{time.monotonic() - began:6.0f} s  {content.strip().splitlines()[-1]}", file=sys.stderr)
                if done.returncode != wanted:
                    print(done.stdout + done.stderr, file=sys.stderr)
                    print(f"exit status {done.returncode}, not {wanted}", file=sys.stderr)
                    return 1
                printed = (
                    "\n".join(line.rstrip() for line in done.stdout.replace(folder, ".").splitlines()).strip("\n")
                    + "\n"
                )
            elif title:
                (Path(folder) / title).write_text(content)
    for begin, end, new in reversed(made):
        text = text[:begin] + new + text[end:]
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
