"""Where the files lie that come with the package: weights, recordings, documents, licences."""

from __future__ import annotations

import io
import json
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

# Real folders, in a checkout as in site-packages: the package is never run from a zip.
SHIPPED = Path(str(files("onwrist.recordings")))
WEIGHTS = Path(str(files("onwrist.models"))) / "weights"
# As the safetensors library has it.
LONGEST_HEADER = 100_000_000
C_SOURCES = Path(str(files("onwrist.export.sources"))) / "c"


def recording(place: Path) -> Path:
    """A recording's path as it is, or that of a recording that ships by its name alone, as `S34`."""
    named = SHIPPED / f"{place.name}.npz"
    return named if place == Path(place.name) and not place.exists() and named.exists() else place


def licence(name: str) -> bytes:
    """LICENSE or NOTICE: of the checkout, or as installed with the package's metadata."""
    beside = Path(__file__).resolve().parent.parent / name
    if beside.is_file():
        return beside.read_bytes()
    text = distribution("onwrist").read_text(f"licenses/{name}")
    if text is None:
        raise FileNotFoundError(f"the installed package lacks {name}: install it anew")
    return text.encode()


def weights_metadata(file: Path | bytes) -> dict[str, str]:
    """Metadata of a safetensors file, without a library: the format is a length, then JSON, then tensors.

    Raises:
        OSError, ValueError: not such a file.
    """
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(min(length, LONGEST_HEADER)))
    return header.get("__metadata__", {})
