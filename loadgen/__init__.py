"""Load testing and scaling validation of LLM serving on NVIDIA Triton and TensorRT-LLM."""
