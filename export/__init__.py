"""Fourth floor: ONNX, TFLite and the contract that goes with them."""

import quantize  # noqa: F401 (before Brevitas: quiets what it announces at import)
