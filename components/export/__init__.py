"""Edge export: ONNX graphs, quantisation, parity, latency, the bundle."""
