"""Fourth floor: ONNX, TFLite and C of a student, the contract that goes with them, and the handoff bundle."""

import quantize  # noqa: F401 (before Brevitas: quiets what it announces at import)
