"""Fourth floor: ONNX, TFLite and the contract that goes with them."""
