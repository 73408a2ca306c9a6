/* Streams of HTTP/2 and what is sent on them. */
#include "h2.h"

#include "null.h"

enum { BUCKETS = 1 << 16 };
static Stream *buckets[BUCKETS];

static Stream **bucket(const Connection *c, uint32_t id) {
    uint64_t key = ((uint64_t)(uintptr_t)c >> 4) * 0x9e3779b97f4a7c15u + (id >> 1) * 0xbf58476d1ce4e5b9u;
    return &buckets[key >> 48];
}

Stream *h2_stream(Connection *c, uint32_t id) {
    Stream *s = *bucket(c, id);
    while (s && (s->connection != c || s->id != id)) s = s->same_hash;
    return s;
}

Stream *h2_stream_open(Connection *c, uint32_t id) {
    Stream *s = calloc(1, sizeof *s), **first = bucket(c, id);
    if (!s) abort();
    s->connection = c;
    s->id = id;
    s->send_window = c->peer_initial_window;
    s->receive_window = c->acknowledged ? options.window : DEFAULT_WINDOW;
    s->same_hash = *first;
    *first = s;
    s->next = c->streams;
    if (s->next) s->next->previous = s;
    c->streams = s;
    c->stream_count++;
    if (++counters.streams_open > counters.streams_peak) counters.streams_peak = counters.streams_open;
    return s;
}

void h2_stream_free(Stream *s) {
    Connection *c = s->connection;
    while (s->jobs) {
        Job *job = s->jobs;
        s->jobs = job->next;
        timer_remove(job);
        free(job);
        counters.cancelled++;
    }
    Stream **at = bucket(c, s->id);
    while (*at != s) at = &(*at)->same_hash;
    *at = s->same_hash;
    if (s->previous) s->previous->next = s->next;
    if (s->next) s->next->previous = s->previous;
    if (c->streams == s) c->streams = s->next;
    c->stream_count--;
    counters.streams_open--;
    if (c->going_away && !c->stream_count) c->closing = true;
    buffer_free(&s->body);
    buffer_free(&s->pending);
    free(s);
}

void h2_frame(Buffer *b, uint32_t size, uint8_t type, uint8_t flags, uint32_t stream) {
    uint8_t *head = buffer_room(b, FRAME_HEAD + size);
    head[0] = (uint8_t)(size >> 16), head[1] = (uint8_t)(size >> 8), head[2] = (uint8_t)size;
    head[3] = type, head[4] = flags;
    write32(head + 5, stream);
    b->end += FRAME_HEAD;
}

static void numbered(Connection *c, uint8_t type, uint32_t stream, uint32_t number) {
    uint8_t bytes[4];
    write32(bytes, number);
    h2_frame(&c->out, 4, type, 0, stream);
    buffer_add(&c->out, bytes, 4);
}

void h2_settings(Connection *c) {
    uint8_t payload[12] = {0, INITIAL_WINDOW_SIZE};
    write32(payload + 2, options.window);
    payload[7] = MAX_CONCURRENT_STREAMS;
    write32(payload + 8, options.max_streams);
    uint32_t size = options.max_streams ? 12 : 6;
    h2_frame(&c->out, size, SETTINGS, 0, 0);
    buffer_add(&c->out, payload, size);
    if (options.window > DEFAULT_WINDOW) {
        numbered(c, WINDOW_UPDATE, 0, options.window - DEFAULT_WINDOW);
        c->receive_window = options.window;
    }
}

void h2_goaway(Connection *c, uint32_t error) {
    uint8_t payload[8];
    write32(payload, c->last_taken);
    write32(payload + 4, error);
    h2_frame(&c->out, 8, GOAWAY, 0, 0);
    buffer_add(&c->out, payload, 8);
    counters.goaways++;
}

void h2_reset(Stream *s, uint32_t error) {
    numbered(s->connection, RST_STREAM, s->id, error);
    h2_stream_free(s);
}

/* Give the peer its window back when half of it is used. */
void h2_received(Connection *c, Stream *s, uint32_t bytes) {
    uint32_t whole = options.window > DEFAULT_WINDOW ? options.window : DEFAULT_WINDOW;
    c->received += bytes;
    if (c->received >= whole / 2) {
        numbered(c, WINDOW_UPDATE, 0, (uint32_t)c->received);
        c->receive_window += c->received;
        c->received = 0;
    }
    if (!s) return;
    s->received += bytes;
    if (s->received && s->received >= options.window / 2) {
        numbered(c, WINDOW_UPDATE, s->id, (uint32_t)s->received);
        s->receive_window += s->received;
        s->received = 0;
    }
}

static void header_block(Stream *s, bool last, const char *const *pairs) {
    Connection *c = s->connection;
    static Buffer block;
    block.start = block.end = 0;
    hpack_begin(&c->encoder, &block);
    if (options.gateway) {
        for (; pairs[0]; pairs += 2) hpack_encode(&c->encoder, &block, pairs[0], pairs[1], strlen(pairs[1]));
        if (!s->begun) {
            const Field *fields = gateway_fields();
            for (int i = 0; i < GATEWAY_FIELDS; i++)
                hpack_encode(&c->encoder, &block, fields[i].name, fields[i].value, fields[i].size);
        }
    } else
        for (; pairs[0]; pairs += 2) hpack_literal(&block, pairs[0], pairs[1]);
    h2_frame(&c->out, (uint32_t)buffer_size(&block), HEADERS, (uint8_t)(END_HEADERS | (last ? END_STREAM : 0)), s->id);
    buffer_add(&c->out, block.data, block.end);
    s->begun = true;
}

static int64_t window(const Stream *s) {
    int64_t both = s->connection->send_window;
    return s->send_window < both ? s->send_window : both;
}

static void data(Stream *s, const uint8_t *prefix, size_t prefix_size, const uint8_t *bytes, size_t size) {
    Connection *c = s->connection;
    h2_frame(&c->out, (uint32_t)(prefix_size + size), DATA, 0, s->id);
    buffer_add(&c->out, prefix, prefix_size);
    buffer_add(&c->out, bytes, size);
    c->send_window -= (int64_t)(prefix_size + size);
    s->send_window -= (int64_t)(prefix_size + size);
}

static void send_pending(Stream *s) {
    size_t left;
    while ((left = buffer_size(&s->pending)) && window(s) > 0) {
        size_t size = left < MAX_FRAME ? left : MAX_FRAME;
        if ((int64_t)size > window(s)) size = (size_t)window(s);
        data(s, NULL, 0, buffer_bytes(&s->pending), size);
        buffer_consume(&s->pending, size);
    }
    if (left) s->connection->blocked = true;
}

void h2_message(Stream *s, const uint8_t *message, size_t size) {
    static const char *const HEAD[] = {":status", "200", "content-type", "application/grpc", NULL};
    uint8_t prefix[5] = {0};
    write32(prefix + 1, (uint32_t)size);
    if (!s->begun) header_block(s, false, HEAD);
    if (!buffer_size(&s->pending) && size + 5 <= MAX_FRAME && (int64_t)size + 5 <= window(s)) {
        data(s, prefix, 5, message, size);
        return;
    }
    buffer_add(&s->pending, prefix, 5);
    buffer_add(&s->pending, message, size);
    send_pending(s);
}

/* End a stream; the message is ASCII without percent signs. */
void h2_finish(Stream *s, int status, const char *message) {
    static const char *const NUMBERS[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"};
    const char *pairs[9] = {0};
    int n = 0;
    if (!s->begun) pairs[n++] = ":status", pairs[n++] = "200", pairs[n++] = "content-type", pairs[n++] = "application/grpc";
    pairs[n++] = "grpc-status", pairs[n++] = NUMBERS[status];
    if (message) pairs[n++] = "grpc-message", pairs[n++] = message;
    header_block(s, true, pairs);
    if (!s->half_closed)
        h2_reset(s, NO_ERROR);
    else
        h2_stream_free(s);
}

void h2_stream_send(Stream *s, bool blocked) {
    Connection *c = s->connection;
    send_pending(s);
    for (Job **at = &s->jobs; *at;) {
        Job *job = *at;
        bool last = false;
        while (!last && job->sent < job->fired && !c->stuck && !buffer_size(&s->pending) && window(s) > 0)
            last = grpc_token(job, job_stamp(job, blocked));
        if (job->sent < job->fired) c->blocked = true;
        if (last) {
            *at = job->next;
            free(job);
        } else
            at = &job->next;
    }
    if (!s->jobs && s->half_closed && !buffer_size(&s->pending)) h2_finish(s, 0, NULL);
}

void h2_unblock(Connection *c) {
    if (!c->blocked || c->stuck) return;
    c->blocked = false;
    for (Stream *s = c->streams, *next; s; s = next) {
        next = s->next;
        h2_stream_send(s, true);
    }
}
