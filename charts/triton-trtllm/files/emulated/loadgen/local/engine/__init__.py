"""Emulates a TensorRT-LLM engine: models with its names and tensors, for a real Triton server without a GPU."""
