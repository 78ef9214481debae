"""The same equation made fast: one file a kernel, each with what it takes and why not, and `plan.py` that picks."""
