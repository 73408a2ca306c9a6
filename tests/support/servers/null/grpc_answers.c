/* Answers of Triton's gRPC protocol. */
#include "null.h"
#include "protobuf.h"

static const char FINAL[] = "triton_final_response";

static Buffer scratch, outer;

static void clear(Buffer *b) { b->start = b->end = 0; }

/* Build a ModelInferResponse with n tokens, all with the same stamp; without an output if n is 0. */
static void response(Buffer *b, const Job *job, int64_t stamp_ns, uint32_t n, bool final) {
    put_text(b, 1, job->model->name);
    put_text(b, 2, "1");
    if (job->id_size) put_bytes(b, 3, job->id, job->id_size);
    if (job->kind != GRPC_UNARY) {
        put_size(b, 4, 2 + sizeof FINAL - 1 + 4);
        put_text(b, 1, FINAL);
        put_size(b, 2, 2);
        put_number(b, 1, final);
    }
    if (!n) return;
    static const uint8_t OUTPUT[] = "\x0a\x0btext_output\x12\x05" "BYTES\x1a\x02\x01\x01";
    put_bytes(b, 5, OUTPUT, sizeof OUTPUT - 1);
    uint32_t size = n * TOKEN_BYTES;
    put_size(b, 6, size + 4);
    buffer_add(b, &size, 4); /* little-endian, as this machine */
    char *text = (char *)buffer_room(b, size);
    for (uint32_t i = 0; i < n; i++) token_text(text + i * TOKEN_BYTES, stamp_ns);
    b->end += size;
}

static void streamed(const Job *job, int64_t stamp_ns, uint32_t n, bool final) {
    clear(&scratch);
    clear(&outer);
    response(&scratch, job, stamp_ns, n, final);
    put_message(&outer, 2, &scratch);
    h2_message(job->stream, outer.data, outer.end);
}

bool grpc_token(Job *job, int64_t stamp_ns) {
    bool last = ++job->sent == job->tokens;
    streamed(job, stamp_ns, 1, last && !job->empty_final);
    if (last) counters.answers++;
    if (last && job->empty_final) streamed(job, stamp_ns, 0, true);
    return last;
}

void grpc_whole(Job *job, int64_t stamp_ns) {
    Stream *s = job->stream;
    uint32_t n = job->tokens < MAX_WHOLE_TOKENS ? job->tokens : MAX_WHOLE_TOKENS;
    if (job->kind == GRPC_UNARY) {
        clear(&scratch);
        response(&scratch, job, stamp_ns, n, true);
        h2_message(s, scratch.data, scratch.end);
    } else {
        if (n || !job->empty_final) streamed(job, stamp_ns, n, !job->empty_final);
        if (job->empty_final) streamed(job, stamp_ns, 0, true);
    }
    counters.answers++;
    counters.tokens += n;
}

/* ---- control plane */

static void tensors(Buffer *b, uint32_t field, const char *name, const char *datatype) {
    static const uint8_t SHAPE[] = {0x1a, 11, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1}; /* [-1, 1] */
    put_size(b, field, 2 + strlen(name) + 2 + strlen(datatype) + sizeof SHAPE);
    put_text(b, 1, name);
    put_text(b, 2, datatype);
    buffer_add(b, SHAPE, sizeof SHAPE);
}

static void metadata(Buffer *b, const Model *model) {
    put_text(b, 1, model->name);
    put_text(b, 2, "1");
    put_text(b, 3, "null");
    tensors(b, 4, "text_input", "BYTES");
    tensors(b, 4, "max_tokens", "INT32");
    if (model->decoupled) tensors(b, 4, "stream", "BOOL");
    tensors(b, 5, "text_output", "BYTES");
}

/* An input or output of a configuration, with dims [1]. */
static void configured(Buffer *b, uint32_t field, const char *name, uint32_t type, uint32_t dims) {
    put_size(b, field, 2 + strlen(name) + 2 + 3);
    put_text(b, 1, name);
    put_number(b, 2, type);
    put_bytes(b, dims, "\x01", 1);
}

static void config(Buffer *b, const Model *model) {
    enum { BOOL = 1, INT32 = 8, STRING = 13 };
    clear(&outer);
    put_text(&outer, 1, model->name);
    put_number(&outer, 4, 1); /* max_batch_size */
    configured(&outer, 5, "text_input", STRING, 4);
    configured(&outer, 5, "max_tokens", INT32, 4);
    if (model->decoupled) configured(&outer, 5, "stream", BOOL, 4);
    configured(&outer, 6, "text_output", STRING, 3);
    put_size(&outer, 19, 2);
    put_number(&outer, 1, model->decoupled);
    put_text(&outer, 17, "null");
    put_message(b, 1, &outer);
}

void grpc_control(Stream *s, const uint8_t *message, size_t size) {
    Message m = {message, message + size};
    ProtoField f;
    const Model *model = NULL;
    while (proto_next(&m, &f) > 0)
        if (f.number == 1 && f.type == 2) model = model_of((const char *)f.bytes.at, proto_size(f.bytes));
    counters.control++;
    clear(&scratch);
    uint8_t method = s->method;
    if (!model && (method == MODEL_METADATA || method == MODEL_CONFIG)) {
        h2_finish(s, 5, "Request for unknown model: it is not found");
        return;
    }
    if (method == SERVER_LIVE || method == SERVER_READY || method == MODEL_READY) {
        if (method != MODEL_READY || model) put_number(&scratch, 1, 1);
    } else if (method == SERVER_METADATA) {
        put_text(&scratch, 1, "null");
        put_text(&scratch, 2, "1");
        put_text(&scratch, 3, "model_repository");
    } else if (method == REPOSITORY_INDEX) {
        for (int i = 0; i < MODEL_COUNT; i++) {
            put_size(&scratch, 1, 2 + strlen(MODELS[i].name) + 3 + 7);
            put_text(&scratch, 1, MODELS[i].name);
            put_text(&scratch, 2, "1");
            put_text(&scratch, 3, "READY");
        }
    } else if (method == MODEL_METADATA)
        metadata(&scratch, model);
    else
        config(&scratch, model);
    h2_message(s, scratch.data, scratch.end);
    h2_stream_send(s, false);
}
