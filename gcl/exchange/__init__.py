"""Exchange of models with other software: ONNX, checkpoints of the CUT family, and a generator that others can call."""
