"""What a student says and how its numbers are read; apart from the network, so that a contract is read without torch."""

from __future__ import annotations

EMBEDDING = 256
# What the heads answer, in this order.
ANSWERS = ("heart_rate", "quality", "irregular")
# heart_rate output z -> beats/min = CENTRE + SPAN * z; quality and irregular z -> logit = LOGIT_SPAN * z. The answers
# share one INT8 scale, whose range is fixed: z within +-ANSWER_RANGE is 30 to 229 BPM in steps of 0.78, and logits of
# +-16 in steps of 0.125. A learnt range would end where the training rates end, which is a ceiling.
HEART_RATE_CENTRE, HEART_RATE_SPAN = 130.0, 50.0
LOGIT_SPAN = 8.0
ANSWER_RANGE = 2.0
