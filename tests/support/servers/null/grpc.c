/* Requests of Triton's gRPC protocol. */
#include "h2.h"
#include "null.h"
#include "protobuf.h"

static const char SERVICE[] = "/inference.GRPCInferenceService/";

uint8_t grpc_method(const char *path, size_t size) {
    static const struct {
        const char *name;
        uint8_t method;
    } METHODS[] = {
        {"ModelInfer", MODEL_INFER},       {"ModelStreamInfer", MODEL_STREAM_INFER}, {"ServerLive", SERVER_LIVE},
        {"ServerReady", SERVER_READY},     {"ModelReady", MODEL_READY},              {"ServerMetadata", SERVER_METADATA},
        {"ModelMetadata", MODEL_METADATA}, {"ModelConfig", MODEL_CONFIG},            {"RepositoryIndex", REPOSITORY_INDEX},
    };
    size_t service = sizeof SERVICE - 1;
    const char *found = size > service ? memmem(path, size, SERVICE, service) : NULL; /* below any path */
    if (!found) return METHOD_UNKNOWN;
    const char *name = found + service;
    size_t name_size = size - (size_t)(name - path);
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++)
        if (strlen(METHODS[i].name) == name_size && !memcmp(METHODS[i].name, name, name_size)) return METHODS[i].method;
    return METHOD_UNKNOWN;
}

/* The input that a tensor name stands for. */
typedef enum { OTHER, TOKEN_LIMIT, STREAM_FLAG } Input;

static Input input_of(Message tensor, int64_t *contents) {
    ProtoField f;
    Input input = OTHER;
    while (proto_next(&tensor, &f) > 0) {
        if (f.number == 1 && f.type == 2)
            input = proto_is(f.bytes, "max_tokens") ? TOKEN_LIMIT : proto_is(f.bytes, "stream") ? STREAM_FLAG : OTHER;
        else if (f.number == 5 && f.type == 2) { /* contents: packed numbers, in one of the first five fields */
            Message elements = f.bytes;
            uint64_t value;
            if (proto_next(&elements, &f) > 0 && f.number <= 5 && f.type == 2 && !proto_varint(&f.bytes, &value))
                *contents = (int64_t)value;
        }
    }
    return input;
}

static bool final_requested(Message parameter) { /* an entry of the map of parameters */
    ProtoField f, value;
    bool named = false, set = false;
    while (proto_next(&parameter, &f) > 0) {
        if (f.number == 1 && f.type == 2) named = proto_is(f.bytes, "triton_enable_empty_final_response");
        if (f.number == 2 && f.type == 2 && proto_next(&f.bytes, &value) > 0) set = value.number == 1 && value.value;
    }
    return named && set;
}

enum { MAX_INPUTS = 256 };

/* Read a ModelInferRequest; return 0, or the status and its message. */
static int read_request(Message m, Job *job, bool *streams, const char **error) {
    uint8_t inputs[MAX_INPUTS];
    uint32_t input_count = 0, raw_count = 0;
    ProtoField f;
    int found;
    *error = "the request is malformed";
    while ((found = proto_next(&m, &f)) > 0) {
        if (f.type != 2) continue;
        if (f.number == 1)
            job->model = model_of((const char *)f.bytes.at, proto_size(f.bytes));
        else if (f.number == 3) {
            job->id_size = proto_size(f.bytes) < ID_BYTES ? (uint32_t)proto_size(f.bytes) : ID_BYTES;
            memcpy(job->id, f.bytes.at, job->id_size);
        } else if (f.number == 4)
            job->empty_final |= final_requested(f.bytes);
        else if (f.number == 5) {
            int64_t contents = -1;
            Input input = input_of(f.bytes, &contents);
            if (input_count == MAX_INPUTS) return 3;
            inputs[input_count++] = (uint8_t)input;
            if (input == TOKEN_LIMIT && contents >= 0) job->tokens = (uint32_t)(contents < MAX_TOKENS ? contents : MAX_TOKENS);
            if (input == STREAM_FLAG && contents >= 0) *streams = contents;
        } else if (f.number == 7) {
            Input input = raw_count < input_count ? (Input)inputs[raw_count] : OTHER;
            raw_count++;
            if (input == TOKEN_LIMIT && proto_size(f.bytes) >= 4) {
                uint32_t tokens;
                memcpy(&tokens, f.bytes.at, 4); /* little-endian, as this machine */
                job->tokens = tokens < MAX_TOKENS ? tokens : MAX_TOKENS;
            }
            if (input == STREAM_FLAG && proto_size(f.bytes)) *streams = *f.bytes.at;
        }
    }
    if (found < 0) return 3;
    *error = "Request for unknown model: it is not found";
    return job->model ? 0 : 5;
}

/* Begin to answer a request; return -1 if the stream was freed. */
static int infer(Stream *s, const uint8_t *message, size_t size) {
    Job *job = calloc(1, sizeof *job);
    if (!job) abort();
    const char *error = "";
    bool streams = s->method == MODEL_STREAM_INFER;
    job->tokens = options.tokens;
    int status = read_request((Message){message, message + size}, job, &streams, &error);
    bool named = job->id_size > 0;
    counters_arrival(s->first_byte_ns, s->message_ns, named ? job->id : s->request_id, named ? job->id_size : s->request_id_size);
    if (!status && s->method == MODEL_INFER && job->model->decoupled) {
        status = 12;
        error = "ModelInfer RPC doesn't support models with decoupled transaction policy";
    }
    if (status) {
        free(job);
        h2_finish(s, status, error);
        return -1;
    }
    job->connection = s->connection;
    job->stream = s;
    job->kind = s->method == MODEL_INFER ? GRPC_UNARY : streams && job->model->decoupled ? GRPC_TOKENS : GRPC_WHOLE;
    Job **last = &s->jobs;
    while (*last) last = &(*last)->next;
    *last = job;
    job_start(job, s->message_ns);
    return 0;
}

int grpc_messages(Stream *s) {
    while (buffer_size(&s->body) >= 5) {
        const uint8_t *head = buffer_bytes(&s->body);
        size_t size = read32(head + 1);
        if (head[0] || size > MAX_BODY) {
            h2_finish(s, head[0] ? 12 : 8, head[0] ? "messages are not compressed here" : "the request is too large");
            return -1;
        }
        if (buffer_size(&s->body) < size + 5) break;
        if (s->method == METHOD_UNKNOWN) {
            h2_finish(s, 12, "unknown method");
            return -1;
        }
        if (s->method != MODEL_STREAM_INFER) {
            if (!s->half_closed) break;
            if (s->method == MODEL_INFER) return infer(s, head + 5, size);
            grpc_control(s, head + 5, size);
            return -1;
        }
        if (infer(s, head + 5, size)) return -1;
        buffer_consume(&s->body, size + 5);
    }
    return 0;
}
