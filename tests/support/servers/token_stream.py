"""A gRPC stream of tokens from a Triton, for tests that crash or drain the server."""

import queue
import threading

import numpy as np
import tritonclient.grpc as triton

MODEL = "tensorrt_llm_bls"


class TokenStream:
    """A gRPC stream of tokens through the gateway, on a connection of its own."""

    def __init__(self, endpoint: str, max_tokens: int) -> None:
        self.tokens = 0
        self.error: Exception | None = None
        self.ended = threading.Event()
        self._client = triton.InferenceServerClient(endpoint)
        self._answers: queue.Queue[None] = queue.Queue()
        self._client.start_stream(self._answer)
        inputs = []
        for name, kind, value in (
            ("text_input", "BYTES", np.array([[b"once upon a time"]], dtype=np.object_)),
            ("max_tokens", "INT32", np.array([[max_tokens]], dtype=np.int32)),
            ("stream", "BOOL", np.array([[True]])),
        ):
            tensor = triton.InferInput(name, [1, 1], kind)
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        self._client.async_stream_infer(MODEL, inputs, enable_empty_final_response=True)

    def _answer(self, result: triton.InferResult | None, error: Exception | None) -> None:
        if result is None or error is not None:
            self.error = error
            self.ended.set()
            return
        if result.as_numpy("text_output") is not None:
            self.tokens += 1
        if result.get_response().parameters["triton_final_response"].bool_param:
            self.ended.set()

    def finish(self) -> None:
        assert self.ended.wait(60), f"no end after {self.tokens} tokens"
        self._client.stop_stream()
        self._client.close()
