"""Models that travel: ONNX, and checkpoints of the CUT family."""
