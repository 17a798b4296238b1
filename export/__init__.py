"""Fourth floor: ONNX, TFLite and C of a student, the contract that goes with them, and the handoff bundle."""
