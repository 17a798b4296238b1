"""What the files of a bundle are called, and the words of its manifest. Needs nothing, so that anybody can check a bundle."""

from __future__ import annotations

MANIFEST, FORMAT = "manifest.json", "onwrist-bundle-2"
# Of the manifest, beside it: what is signed cannot hold its own signature.
SIGNATURE = "manifest.json.minisig"
VALID, INVALID, NOT_JUDGED = "valid", "invalid", "not judged"

CARD = "MODEL_CARD.md"
SHARED = ("FIRMWARE.md", "LICENSE", "NOTICE", CARD)
REPORT_PAGE, REPORT_JSON = "report.html", "report.json"
# The watch in a page: the exported C in a browser.
WATCH_PAGE = "watch.html"
# Where a person begins: what is in the bundle, and what to open.
INDEX_PAGE = "index.html"
# What its maker asked for.
SPEC = "spec.toml"

# Of a student, in the folder of its size.
WINDOW, WINDOW_ONNX, STEP, STEP_ONNX = "window.tflite", "window.onnx", "step.tflite", "step.onnx"
CONTRACT, GOLDEN, MEMORY = "contract.json", "golden.npz", "memory.json"
# What the model saw, as the counters that a watch keeps.
TELEMETRY = "telemetry.json"
STUDENT = (WINDOW, WINDOW_ONNX, STEP, STEP_ONNX, CONTRACT, GOLDEN, MEMORY, TELEMETRY)
SOURCES = "c/"

# The encoder itself, for an application processor.
HUB = "hub"
HUB_FLOAT, HUB_ONNX, HUB_TFLITE = "hub/encoder.float.onnx", "hub/encoder.int8.onnx", "hub/encoder.int8.tflite"
