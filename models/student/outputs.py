"""What a student says and how its numbers are read; apart from the network, so that a contract is read without torch."""

from __future__ import annotations

EMBEDDING = 256
# What the heads answer, in this order.
ANSWERS = ("heart_rate", "quality", "irregular")
# heart_rate output z -> beats/min = CENTRE + SPAN * z; quality and irregular z -> logit = LOGIT_SPAN * z. The three
# share one INT8 scale, and only the heart rate needs its steps to be fine (0.7 BPM; with raw logits it was 2.9).
HEART_RATE_CENTRE, HEART_RATE_SPAN = 90.0, 30.0
LOGIT_SPAN = 8.0
