"""TFLite and ONNX files: written from the integers, and read."""
