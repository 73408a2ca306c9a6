/* Answers over HTTP/1.1. */
#include "null.h"

void http_head(Connection *c, int status, const char *type, int64_t length, const char *extra) {
    const char *reason = status == 200 ? "OK" : status == 404 ? "Not Found" : status == 411 ? "Length Required"
                       : status == 413 ? "Content Too Large" : status == 431 ? "Request Header Fields Too Large" : "Bad Request";
    Buffer *b = &c->out;
    char line[160];
    int size = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", status, reason, type);
    buffer_add(b, line, (size_t)size);
    if (length < 0)
        buffer_text(b, "Transfer-Encoding: chunked\r\n");
    else
        buffer_add(b, line, (size_t)snprintf(line, sizeof line, "Content-Length: %lld\r\n", (long long)length));
    if (extra) buffer_text(b, extra);
    if (options.gateway) {
        const Field *fields = gateway_fields();
        for (int i = 0; i < GATEWAY_FIELDS; i++) {
            buffer_text(b, fields[i].name);
            buffer_add(b, ": ", 2);
            buffer_add(b, fields[i].value, fields[i].size);
            buffer_add(b, "\r\n", 2);
        }
    }
    buffer_text(b, c->last_request || c->closing ? "Connection: close\r\n\r\n" : "\r\n");
}

static Buffer body;

static void clear(void) { body.start = body.end = 0; }

static void text(const char *t) { buffer_text(&body, t); }

static void stamps(int64_t stamp_ns, uint32_t n) {
    char *room = (char *)buffer_room(&body, (size_t)n * TOKEN_BYTES);
    for (uint32_t i = 0; i < n; i++) token_text(room + (size_t)i * TOKEN_BYTES, stamp_ns);
    body.end += (size_t)n * TOKEN_BYTES;
}

static void number(uint64_t n) {
    char digits[24];
    buffer_add(&body, digits, (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n));
}

static void usage(uint32_t tokens) {
    text("\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":");
    number(tokens);
    text(",\"total_tokens\":");
    number(tokens);
    text("}");
}

static void identity(const Job *job) {
    if (!job->id_size) return;
    text("\"id\":\"");
    buffer_add(&body, job->id, job->id_size);
    text("\",");
}

/* The start of an object of OpenAI's protocol, up to its choices. */
static void object(const Job *job, const char *kind) {
    text("{\"id\":\"null\",\"object\":\"");
    text(kind);
    text("\",\"created\":0,\"model\":\"");
    text(job->model->name);
    text("\",");
}

static void triton_text(const Job *job, int64_t stamp_ns, uint32_t n) {
    text("{");
    identity(job);
    text("\"model_name\":\"");
    text(job->model->name);
    text("\",\"model_version\":\"1\",\"text_output\":\"");
    stamps(stamp_ns, n);
    text("\"}");
}

static void infer_outputs(const Job *job, int64_t stamp_ns, uint32_t n, char *extra, size_t extra_size) {
    uint32_t size = n * TOKEN_BYTES;
    text("{");
    identity(job);
    text("\"model_name\":\"");
    text(job->model->name);
    text("\",\"model_version\":\"1\",\"outputs\":[{\"name\":\"text_output\",\"datatype\":\"BYTES\",\"shape\":[1,1],");
    if (job->binary) {
        text("\"parameters\":{\"binary_data_size\":");
        number(size + 4);
        text("}}]}");
        snprintf(extra, extra_size, "Inference-Header-Content-Length: %zu\r\n", body.end);
        buffer_add(&body, &size, 4); /* little-endian, as this machine */
        stamps(stamp_ns, n);
    } else {
        text("\"data\":[\"");
        stamps(stamp_ns, n);
        text("\"]}]}");
    }
}

static void openai_whole(const Job *job, int64_t stamp_ns, uint32_t n) {
    bool chat = job->call == CHAT;
    object(job, chat ? "chat.completion" : "text_completion");
    text(chat ? "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" : "\"choices\":[{\"index\":0,\"text\":\"");
    stamps(stamp_ns, n);
    text(chat ? "\"},\"finish_reason\":\"length\"}]," : "\",\"finish_reason\":\"length\"}],");
    usage(n);
    text("}");
}

void http_whole(Job *job) {
    Connection *c = job->connection;
    uint32_t n = job->tokens < MAX_WHOLE_TOKENS ? job->tokens : MAX_WHOLE_TOKENS;
    char extra[64] = "";
    int64_t stamp_ns = clock_ns();
    clear();
    if (job->call == GENERATE)
        triton_text(job, stamp_ns, n);
    else if (job->call == INFER)
        infer_outputs(job, stamp_ns, n, extra, sizeof extra);
    else
        openai_whole(job, stamp_ns, n);
    http_head(c, 200, job->binary ? "application/octet-stream" : "application/json", (int64_t)body.end, extra);
    buffer_add(&c->out, body.data, body.end);
    counters.tokens += n;
}

/* ---- streams */

static void chunk(Connection *c) {
    char head[24];
    buffer_add(&c->out, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", body.end));
    buffer_add(&body, "\r\n", 2);
    buffer_add(&c->out, body.data, body.end);
}

static void openai_token(const Job *job, int64_t stamp_ns) {
    bool chat = job->call == CHAT;
    object(job, chat ? "chat.completion.chunk" : "text_completion");
    text("\"choices\":[{\"index\":0,");
    text(!chat ? "\"text\":\"" : job->sent == 1 ? "\"delta\":{\"role\":\"assistant\",\"content\":\"" : "\"delta\":{\"content\":\"");
    stamps(stamp_ns, 1);
    text(chat ? "\"}" : "\"");
    text(job->sent == job->tokens ? ",\"finish_reason\":\"length\"}]}" : ",\"finish_reason\":null}]}");
}

static void begin(Job *job) {
    if (!job->begun) http_head(job->connection, 200, "text/event-stream", -1, NULL);
    job->begun = true;
}

static void token(Job *job, int64_t stamp_ns) {
    begin(job);
    job->sent++;
    clear();
    text("data: ");
    if (job->call == GENERATE)
        triton_text(job, stamp_ns, 1);
    else
        openai_token(job, stamp_ns);
    text("\n\n");
    chunk(job->connection);
}

static void end(Job *job) {
    begin(job);
    if (job->call != GENERATE) {
        if (job->usage) {
            clear();
            text("data: ");
            object(job, job->call == CHAT ? "chat.completion.chunk" : "text_completion");
            text("\"choices\":[],");
            usage(job->tokens);
            text("}\n\n");
            chunk(job->connection);
        }
        clear();
        text("data: [DONE]\n\n");
        chunk(job->connection);
    }
    buffer_text(&job->connection->out, "0\r\n\r\n");
}

bool http_send(Job *job, bool blocked) {
    while (job->sent < job->fired && !job->connection->stuck) token(job, job_stamp(job, blocked));
    if (job->sent < job->tokens) return false;
    end(job);
    return true;
}
