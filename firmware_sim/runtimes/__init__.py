"""Everything that can run a student: TFLM, LiteRT, ONNX Runtime, numpy, and the C here and on emulated cores."""
