"""Exchange of models with other software: ONNX export, and import of checkpoints of the CUT family."""
