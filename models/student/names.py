"""What tensors are called that every part of the house knows, in TFLite, ONNX, contract and golden vectors alike."""

from __future__ import annotations

# The first and the second output of a student.
EMBEDDING_OUTPUT, ANSWERS_OUTPUT = "embedding", "answers"
# What a stream keeps: an input and, handed back in as that, an output; numbered in the order of first use.
STATE, NEXT_STATE = "state", "next"
