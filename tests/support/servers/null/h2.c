/* Receives HTTP/2 frames. A handler returns 0, or the error of the connection. */
#include "h2.h"

#include "null.h"

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_BYTES = sizeof PREFACE - 1 };

typedef struct {
    uint32_t size, stream;
    uint8_t type, flags;
    const uint8_t *payload;
    int64_t first_byte_ns, now;
} Frame;

typedef struct {
    uint8_t method;
    const char *id;
    char request_id[ID_BYTES];
    uint32_t request_id_size;
} Request;

static void request_header(void *context, const char *name, size_t name_size, const char *value, size_t value_size) {
    Request *request = context;
    if (name_size == 5 && !memcmp(name, ":path", 5))
        request->method = grpc_method(value, value_size);
    else if (name_size == 12 && !memcmp(name, "x-request-id", 12)) {
        request->request_id_size = value_size < ID_BYTES ? (uint32_t)value_size : ID_BYTES;
        memcpy(request->request_id, value, request->request_id_size);
    }
}

/* The peer sends nothing more on this stream. May free it. */
static void half_closed(Stream *s) {
    s->half_closed = true;
    if (grpc_messages(s)) return;
    if (s->method != MODEL_STREAM_INFER && !s->begun && !s->jobs)
        h2_finish(s, 13, "the request has no message");
    else
        h2_stream_send(s, false);
}

static int fields(Connection *c, uint32_t id, uint8_t flags, const uint8_t *block, size_t size, int64_t first_byte_ns) {
    Request request = {0};
    if (hpack_decode(&c->decoder, block, size, request_header, &request)) return COMPRESSION_ERROR;
    Stream *s = h2_stream(c, id);
    if (s) { /* trailers */
        if (!(flags & END_STREAM)) return PROTOCOL_ERROR;
        half_closed(s);
        return 0;
    }
    if (id <= c->last_stream) return 0; /* a stream that this side has closed */
    if (!(id & 1)) return PROTOCOL_ERROR;
    c->last_stream = id;
    if (c->going_away) return 0;
    if (options.max_streams && c->stream_count >= options.max_streams) {
        counters.refused++;
        h2_frame(&c->out, 4, RST_STREAM, 0, id);
        buffer_add(&c->out, (uint8_t[]){0, 0, 0, REFUSED_STREAM}, 4);
        return 0;
    }
    s = h2_stream_open(c, id);
    s->method = request.method;
    s->first_byte_ns = first_byte_ns;
    s->request_id_size = request.request_id_size;
    memcpy(s->request_id, request.request_id, request.request_id_size);
    c->last_taken = id;
    if (options.goaway_every && ++c->requests >= options.goaway_every) {
        c->going_away = true;
        h2_goaway(c, NO_ERROR);
    }
    if (flags & END_STREAM) half_closed(s);
    return 0;
}

/* Remove padding and, for HEADERS, the priority. */
static int unpad(const Frame *f, size_t skipped, const uint8_t **start, size_t *size) {
    size_t padding = 0, at = 0;
    if (f->flags & PADDED) {
        if (!f->size) return FRAME_SIZE_ERROR;
        padding = f->payload[at++];
    }
    at += skipped;
    if (at + padding > f->size) return PROTOCOL_ERROR;
    *start = f->payload + at;
    *size = f->size - at - padding;
    return 0;
}

static int on_headers(Connection *c, const Frame *f) {
    const uint8_t *start;
    size_t size;
    int error = unpad(f, f->flags & WITH_PRIORITY ? 5 : 0, &start, &size);
    if (error || !f->stream) return error ? error : PROTOCOL_ERROR;
    if (f->flags & END_HEADERS) return fields(c, f->stream, f->flags, start, size, f->first_byte_ns);
    buffer_add(&c->block, start, size);
    c->block_stream = f->stream;
    c->block_flags = f->flags;
    c->block_ns = f->first_byte_ns;
    return 0;
}

static int on_continuation(Connection *c, const Frame *f) {
    if (buffer_size(&c->block) + f->size > MAX_BLOCK) return ENHANCE_YOUR_CALM;
    buffer_add(&c->block, f->payload, f->size);
    if (!(f->flags & END_HEADERS)) return 0;
    uint32_t id = c->block_stream;
    c->block_stream = 0;
    int error = fields(c, id, c->block_flags, buffer_bytes(&c->block), buffer_size(&c->block), c->block_ns);
    buffer_consume(&c->block, buffer_size(&c->block));
    return error;
}

static int on_data(Connection *c, const Frame *f) {
    const uint8_t *start;
    size_t size;
    int error = unpad(f, 0, &start, &size);
    if (error || !f->stream) return error ? error : PROTOCOL_ERROR;
    Stream *s = h2_stream(c, f->stream);
    if (!s && f->stream > c->last_stream) return PROTOCOL_ERROR; /* an idle stream */
    c->receive_window -= f->size;
    if (c->receive_window < 0 || (s && (s->receive_window -= f->size) < 0)) {
        counters.flow_violations++;
        return FLOW_CONTROL_ERROR;
    }
    h2_received(c, f->flags & END_STREAM ? NULL : s, f->size);
    if (!s) return 0;
    if (s->half_closed) return STREAM_CLOSED;
    if (buffer_size(&s->body) + size > MAX_BODY + 5) {
        h2_finish(s, 8, "the request is too large");
        return 0;
    }
    buffer_add(&s->body, start, size);
    s->message_ns = f->now;
    if (f->flags & END_STREAM)
        half_closed(s);
    else if (s->method == MODEL_STREAM_INFER)
        grpc_messages(s);
    return 0;
}

static int on_settings(Connection *c, const Frame *f) {
    if (f->stream) return PROTOCOL_ERROR;
    if (f->flags & ACK) {
        if (f->size) return FRAME_SIZE_ERROR;
        if (!c->acknowledged) /* the window of our settings holds from here on */
            for (Stream *s = c->streams; s; s = s->next) s->receive_window += (int64_t)options.window - DEFAULT_WINDOW;
        c->acknowledged = true;
        return 0;
    }
    if (f->size % 6) return FRAME_SIZE_ERROR;
    for (uint32_t at = 0; at < f->size; at += 6) {
        uint32_t name = (uint32_t)f->payload[at] << 8 | f->payload[at + 1], value = read32(f->payload + at + 2);
        if (name == HEADER_TABLE_SIZE) table_allow(&c->encoder, value);
        if (name == INITIAL_WINDOW_SIZE) {
            if (value > MAX_WINDOW) return FLOW_CONTROL_ERROR;
            for (Stream *s = c->streams; s; s = s->next) s->send_window += (int64_t)value - c->peer_initial_window;
            c->peer_initial_window = value;
        }
    }
    h2_frame(&c->out, 0, SETTINGS, ACK, 0);
    h2_unblock(c);
    return 0;
}

static int on_window_update(Connection *c, const Frame *f) {
    if (f->size != 4) return FRAME_SIZE_ERROR;
    uint32_t more = read32(f->payload) & MAX_WINDOW;
    if (!f->stream) {
        c->send_window += more;
        if (!more || c->send_window > MAX_WINDOW) return more ? FLOW_CONTROL_ERROR : PROTOCOL_ERROR;
        h2_unblock(c);
        return 0;
    }
    Stream *s = h2_stream(c, f->stream);
    if (!s) return 0;
    s->send_window += more;
    if (!more || s->send_window > MAX_WINDOW)
        h2_reset(s, more ? FLOW_CONTROL_ERROR : PROTOCOL_ERROR);
    else if (c->blocked)
        h2_stream_send(s, true);
    return 0;
}

static int on_frame(Connection *c, const Frame *f) {
    if (c->block_stream && (f->type != CONTINUATION || f->stream != c->block_stream)) return PROTOCOL_ERROR;
    switch (f->type) {
    case DATA: return on_data(c, f);
    case HEADERS: return on_headers(c, f);
    case CONTINUATION: return c->block_stream ? on_continuation(c, f) : PROTOCOL_ERROR;
    case SETTINGS: return on_settings(c, f);
    case WINDOW_UPDATE: return on_window_update(c, f);
    case RST_STREAM: {
        if (f->size != 4) return FRAME_SIZE_ERROR;
        Stream *s = h2_stream(c, f->stream);
        if (s) h2_stream_free(s);
        return 0;
    }
    case PING:
        if (f->size != 8) return FRAME_SIZE_ERROR;
        if (!(f->flags & ACK)) {
            h2_frame(&c->out, 8, PING, ACK, 0);
            buffer_add(&c->out, f->payload, 8);
        }
        return 0;
    case PUSH_PROMISE: return PROTOCOL_ERROR;
    default: return 0;
    }
}

int64_t h2_receive(Connection *c, const uint8_t *data, size_t size, int64_t now) {
    size_t at = 0;
    if (!c->preface) {
        if (memcmp(data, PREFACE, size < PREFACE_BYTES ? size : PREFACE_BYTES)) return -1;
        if (size < PREFACE_BYTES) return 0;
        at = PREFACE_BYTES;
        c->preface = true;
        h2_settings(c);
    }
    int64_t first_byte_ns = c->left_ns ? c->left_ns : now;
    while (size - at >= FRAME_HEAD) {
        const uint8_t *head = data + at;
        Frame f = {(uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2], read32(head + 5) & MAX_WINDOW, head[3],
                   head[4], head + FRAME_HEAD, first_byte_ns, now};
        int error = f.size > MAX_FRAME ? FRAME_SIZE_ERROR : 0;
        if (!error && size - at < FRAME_HEAD + f.size) break;
        if (!error) error = on_frame(c, &f);
        if (error) {
            counters.protocol_errors++;
            h2_goaway(c, (uint32_t)error);
            c->closing = true;
            return (int64_t)size;
        }
        at += FRAME_HEAD + f.size;
        first_byte_ns = now;
    }
    return (int64_t)at;
}
