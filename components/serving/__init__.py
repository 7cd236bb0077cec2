"""What runs on the device: a bundle, numpy and ONNX Runtime, nothing else."""
