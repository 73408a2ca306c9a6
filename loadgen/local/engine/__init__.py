"""The emulated engine: models with TensorRT-LLM's names and tensors for a real Triton server without a GPU."""
