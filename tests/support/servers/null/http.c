/* Requests over HTTP/1.1: Triton's protocol, OpenAI's, and what this server counted. */
#include <ctype.h>
#include <strings.h>

#include "null.h"

enum { MAX_HEAD = 65536 };

typedef struct {
    const char *method, *path;
    size_t method_size, path_size, head_size;
    int64_t length, json_size; /* of the body; of its JSON before binary tensors, -1 if it is all of it */
    bool close, expects, chunked;
    const char *id;
    size_t id_size;
    Json body;
    int64_t first_byte_ns, now;
} Request;

static bool named(const char *line, size_t name_size, const char *name) {
    return name_size == strlen(name) && !strncasecmp(line, name, name_size);
}

static int64_t decimal(const char *text, size_t size) {
    int64_t n = 0;
    if (!size) return -1;
    for (size_t i = 0; i < size; i++) {
        if (!isdigit((unsigned char)text[i]) || n > MAX_BODY) return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

static bool contains(const char *text, size_t size, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= size; i++)
        if (!strncasecmp(text + i, word, n)) return true;
    return false;
}

static int read_field(Request *r, const char *line, size_t size) {
    const char *colon = memchr(line, ':', size);
    if (!colon) return 400;
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1, *end = line + size;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t value_size = (size_t)(end - value);
    if (named(line, name, "content-length")) {
        if ((r->length = decimal(value, value_size)) < 0) return 400;
        if (r->length > MAX_BODY) return 413;
    } else if (named(line, name, "inference-header-content-length")) {
        if ((r->json_size = decimal(value, value_size)) < 0) return 400;
    } else if (named(line, name, "connection"))
        r->close |= contains(value, value_size, "close");
    else if (named(line, name, "transfer-encoding"))
        r->chunked = true;
    else if (named(line, name, "expect"))
        r->expects = true;
    else if (named(line, name, "x-request-id"))
        r->id = value, r->id_size = value_size;
    return 0;
}

/* Read the head of a request; return 0, or the status of the refusal. */
static int read_head(Request *r, const char *text, size_t size) {
    const char *end = text + size, *line_end = memmem(text, size, "\r\n", 2);
    const char *space = memchr(text, ' ', (size_t)(line_end - text));
    const char *second = space ? memchr(space + 1, ' ', (size_t)(line_end - space - 1)) : NULL;
    if (!second || line_end - second != 9 || memcmp(second, " HTTP/1.", 8)) return 400;
    r->method = text, r->method_size = (size_t)(space - text);
    r->path = space + 1, r->path_size = (size_t)(second - space - 1);
    r->close = second[8] == '0';
    for (const char *line = line_end + 2; line < end - 2; line = line_end + 2) {
        line_end = memmem(line, (size_t)(end - line), "\r\n", 2);
        int status = read_field(r, line, (size_t)(line_end - line));
        if (status) return status;
    }
    return r->chunked ? 411 : 0;
}

static void answer(Connection *c, int status, const char *body, size_t size) {
    http_head(c, status, "application/json", (int64_t)size, NULL);
    buffer_add(&c->out, body, size);
}

static void refuse(Connection *c, int status, const char *message) {
    char body[256];
    int size = snprintf(body, sizeof body, "{\"error\":\"%s\"}", message);
    answer(c, status, body, (size_t)size);
}

/* ---- inference */

/* Read max_tokens of an infer request: an input with data, or with its bytes after the JSON. */
static void read_inputs(Job *job, const Request *r, Json json) {
    Json input, inputs = json_member(json, "inputs"), output, outputs = json_member(json, "outputs");
    size_t at = 0, offset = r->json_size >= 0 ? (size_t)r->json_size : r->body.size;
    while (json_next(inputs, &at, &input)) {
        Json name = json_string(json_member(input, "name"));
        bool limit = name.size == 10 && !memcmp(name.text, "max_tokens", 10);
        int64_t bytes = json_integer(json_member(json_member(input, "parameters"), "binary_data_size"), -1);
        int64_t tokens = json_integer(json_member(input, "data"), -1);
        if (bytes >= 0 && limit && offset + 4 <= r->body.size && bytes >= 4) {
            int32_t value;
            memcpy(&value, r->body.text + offset, 4);
            tokens = value;
        }
        if (bytes > 0) offset += (size_t)bytes;
        if (limit && tokens >= 0) job->tokens = (uint32_t)tokens;
    }
    job->binary = json_true(json_member(json_member(json, "parameters"), "binary_data_output"));
    at = 0;
    while (json_next(outputs, &at, &output))
        job->binary |= json_true(json_member(json_member(output, "parameters"), "binary_data"));
}

static void infer(Connection *c, Request *r, const Model *model, Call call, bool streams) {
    Json json = r->body;
    if (call == INFER && r->json_size >= 0) json.size = (size_t)r->json_size < json.size ? (size_t)r->json_size : json.size;
    Json id = json_string(json_member(json, "id"));
    const char *shown = id.size ? id.text : r->id ? r->id : "";
    counters_arrival(r->first_byte_ns, r->now, shown, id.size ? id.size : r->id_size);
    if (call == INFER && model->decoupled) {
        refuse(c, 400, "ModelInfer RPC doesn't support models with decoupled transaction policy");
        return;
    }
    Job *job = calloc(1, sizeof *job);
    if (!job) abort();
    job->connection = c;
    job->model = model;
    job->call = call;
    job->kind = streams ? HTTP_TOKENS : HTTP_WHOLE;
    job->id_size = id.size < ID_BYTES ? (uint32_t)id.size : 0;
    memcpy(job->id, id.size ? id.text : "", job->id_size);
    job->tokens = options.tokens;
    if (call == INFER)
        read_inputs(job, r, json);
    else {
        int64_t tokens = json_integer(json_member(json, "max_tokens"), options.tokens);
        job->tokens = (uint32_t)json_integer(json_member(json, "max_completion_tokens"), tokens);
        job->usage = json_true(json_member(json_member(json, "stream_options"), "include_usage"));
    }
    if (job->tokens > MAX_TOKENS) job->tokens = MAX_TOKENS;
    c->job = job;
    job_start(job, r->now);
}

static void openai(Connection *c, Request *r, Call call) {
    Json name = json_string(json_member(r->body, "model"));
    const Model *model = name.text ? model_of(name.text, name.size) : NULL;
    if (!model) {
        static const char UNKNOWN[] = "{\"error\":{\"message\":\"the model does not exist\",\"type\":\"NotFoundError\",\"code\":404}}";
        answer(c, 404, UNKNOWN, sizeof UNKNOWN - 1);
        return;
    }
    infer(c, r, model, call, json_true(json_member(r->body, "stream")));
}

/* ---- control plane */

static const char METADATA[] =
    "{\"name\":\"%s\",\"versions\":[\"1\"],\"platform\":\"null\",\"inputs\":["
    "{\"name\":\"text_input\",\"datatype\":\"BYTES\",\"shape\":[-1,1]},"
    "{\"name\":\"max_tokens\",\"datatype\":\"INT32\",\"shape\":[-1,1]}%s],"
    "\"outputs\":[{\"name\":\"text_output\",\"datatype\":\"BYTES\",\"shape\":[-1,1]}]}";
static const char STREAM_METADATA[] = ",{\"name\":\"stream\",\"datatype\":\"BOOL\",\"shape\":[-1,1]}";
static const char CONFIG[] =
    "{\"name\":\"%s\",\"platform\":\"\",\"backend\":\"null\",\"max_batch_size\":1,\"input\":["
    "{\"name\":\"text_input\",\"data_type\":\"TYPE_STRING\",\"dims\":[1]},"
    "{\"name\":\"max_tokens\",\"data_type\":\"TYPE_INT32\",\"dims\":[1]}%s],"
    "\"output\":[{\"name\":\"text_output\",\"data_type\":\"TYPE_STRING\",\"dims\":[1]}],"
    "\"model_transaction_policy\":{\"decoupled\":%s}}";
static const char STREAM_CONFIG[] = ",{\"name\":\"stream\",\"data_type\":\"TYPE_BOOL\",\"dims\":[1]}";

static void describe(Connection *c, const Model *model, bool config) {
    char body[1024];
    int size = config ? snprintf(body, sizeof body, CONFIG, model->name, model->decoupled ? STREAM_CONFIG : "",
                                 model->decoupled ? "true" : "false")
                      : snprintf(body, sizeof body, METADATA, model->name, model->decoupled ? STREAM_METADATA : "");
    answer(c, 200, body, (size_t)size);
}

static void index_of_models(Connection *c, bool openai) {
    Buffer body = {0};
    char item[128];
    buffer_text(&body, openai ? "{\"object\":\"list\",\"data\":[" : "[");
    for (int i = 0; i < MODEL_COUNT; i++) {
        const char *form = openai ? "%s{\"id\":\"%s\",\"object\":\"model\",\"owned_by\":\"null\"}"
                                  : "%s{\"name\":\"%s\",\"version\":\"1\",\"state\":\"READY\"}";
        snprintf(item, sizeof item, form, i ? "," : "", MODELS[i].name);
        buffer_text(&body, item);
    }
    buffer_text(&body, openai ? "]}" : "]");
    answer(c, 200, (char *)body.data, body.end);
    buffer_free(&body);
}

static void counted(Connection *c, bool arrivals) {
    Buffer body = {0};
    (arrivals ? counters_arrivals : counters_json)(&body);
    http_head(c, 200, arrivals ? "application/octet-stream" : "application/json", (int64_t)body.end, NULL);
    buffer_add(&c->out, body.data, body.end);
    buffer_free(&body);
}

static bool is(const char *text, size_t size, const char *expected) {
    return size == strlen(expected) && !memcmp(text, expected, size);
}

static void of_model(Connection *c, Request *r) {
    const char *name = r->path + sizeof "/v2/models/" - 1, *end = r->path + r->path_size;
    const char *slash = memchr(name, '/', (size_t)(end - name));
    size_t name_size = (size_t)((slash ? slash : end) - name);
    const Model *model = model_of(name, name_size);
    const char *rest = slash ? slash : end;
    if (end - rest > 10 && !memcmp(rest, "/versions/", 10)) {
        const char *next = memchr(rest + 10, '/', (size_t)(end - rest - 10));
        rest = next ? next : end;
    }
    size_t size = (size_t)(end - rest);
    bool post = is(r->method, r->method_size, "POST");
    if (!model) {
        refuse(c, 400, "Request for unknown model: it is not found");
        return;
    }
    if (post && is(rest, size, "/infer"))
        infer(c, r, model, INFER, false);
    else if (post && is(rest, size, "/generate"))
        infer(c, r, model, GENERATE, false);
    else if (post && is(rest, size, "/generate_stream"))
        infer(c, r, model, GENERATE, true);
    else {
        counters.control++;
        if (!post && !size)
            describe(c, model, false);
        else if (!post && is(rest, size, "/config"))
            describe(c, model, true);
        else if (!post && is(rest, size, "/ready"))
            answer(c, 200, "", 0);
        else
            refuse(c, 404, "Not Found");
    }
}

static void route(Connection *c, Request *r) {
    static const char SERVER[] = "{\"name\":\"null\",\"version\":\"1\",\"extensions\":[\"model_repository\"]}";
    const char *p = r->path;
    size_t n = r->path_size;
    if (n > 11 && !memcmp(p, "/v2/models/", 11)) {
        of_model(c, r);
        return;
    }
    if (is(p, n, "/v1/completions") || is(p, n, "/v1/chat/completions")) {
        openai(c, r, n == 15 ? COMPLETION : CHAT);
        return;
    }
    counters.control++;
    if (is(p, n, "/v2"))
        answer(c, 200, SERVER, sizeof SERVER - 1);
    else if (is(p, n, "/v2/health/live") || is(p, n, "/v2/health/ready"))
        answer(c, 200, "", 0);
    else if (is(p, n, "/v2/repository/index") || is(p, n, "/v1/models"))
        index_of_models(c, n == 10);
    else if (is(p, n, "/null/counters") || is(p, n, "/null/arrivals"))
        counted(c, p[6] == 'a');
    else if (is(p, n, "/null/reset")) {
        counters_reset();
        answer(c, 200, "{}", 2);
    } else
        refuse(c, 404, "Not Found");
}

int64_t http_receive(Connection *c, const uint8_t *data, size_t size, int64_t now) {
    size_t at = 0;
    int64_t first_byte_ns = c->left_ns ? c->left_ns : now;
    while (!c->job && !c->closing && at < size) {
        const char *text = (const char *)data + at;
        const char *blank = memmem(text, size - at, "\r\n\r\n", 4);
        if (!blank && size - at < MAX_HEAD) break;
        Request r = {.json_size = -1, .first_byte_ns = first_byte_ns, .now = now};
        r.head_size = blank ? (size_t)(blank - text) + 4 : 0;
        int status = blank ? read_head(&r, text, r.head_size) : 431;
        if (status) {
            c->closing = true;
            counters.protocol_errors++;
            refuse(c, status, status == 411 ? "chunked requests are not read here: send Content-Length" : "bad request");
            return (int64_t)size;
        }
        if (size - at < r.head_size + (size_t)r.length) {
            if (r.expects && !c->continued) buffer_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
            c->continued = r.expects;
            break;
        }
        c->continued = false;
        r.body = (Json){text + r.head_size, (size_t)r.length};
        c->last_request = r.close || (options.close_every && ++c->requests >= options.close_every);
        at += r.head_size + (size_t)r.length;
        route(c, &r);
        if (c->last_request && !c->job) c->closing = true;
        first_byte_ns = now;
    }
    return (int64_t)at;
}
