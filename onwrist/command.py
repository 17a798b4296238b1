"""What the scripts share: `--help` from the config dataclass, a progress bar, and errors as one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from onwrist.errors import OnwristError

Config = TypeVar("Config")
USER_ERROR, GATE_FAILED = 2, 1


def run(main: Callable[[Config], int | None], config: type[Config]) -> None:
    """Parse `config` from the command line, call `main` with it, exit with its status.

    A user's mistake is printed as one line and exits with 2; a failed gate is `main` returning 1.
    """
    import tyro

    parsed = tyro.cli(config, config=(tyro.conf.FlagConversionOff,), description=_first_paragraph(main, config))
    try:
        status = main(parsed)
    except OnwristError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(status or 0)


def _first_paragraph(main: Callable, config: type) -> str:
    return (main.__doc__ or config.__doc__ or "").split("\n\n")[0].strip()


def bar(items: Iterable, what: str, **more) -> Any:
    """Progress bar on standard error."""
    from tqdm import tqdm

    return tqdm(items, desc=what, file=sys.stderr, dynamic_ncols=True, mininterval=0.5, **more)


def results(found: Any, path: Path, text: str) -> None:
    """What a measuring script leaves: its numbers as JSON in `path`, its table on standard output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
    print(text)
    say(f"results: {path}")


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)
