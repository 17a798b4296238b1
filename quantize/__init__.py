"""Third floor: from a float encoder to a streaming student in integers."""

import warnings

# Brevitas announces at import that an optional GPU kernel is absent; nothing here uses it.
warnings.filterwarnings("ignore", message="fast_hadamard_transform package not found")
