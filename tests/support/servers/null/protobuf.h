/* The parts of protobuf's wire format that Triton's messages use. */
#ifndef NULL_PROTOBUF_H
#define NULL_PROTOBUF_H

#include "buffer.h"

typedef struct {
    const uint8_t *at, *end;
} Message;

/* A field of the wire types VARINT (0), I64 (1), LEN (2) and I32 (5). */
typedef struct {
    uint32_t number, type;
    uint64_t value;
    Message bytes;
} ProtoField;

static inline int proto_varint(Message *m, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return 0;
    }
    return -1;
}

/* Take the next field; return 1, 0 at the end, -1 for a malformed message. */
static inline int proto_next(Message *m, ProtoField *f) {
    uint64_t key, size = 0;
    if (m->at >= m->end) return 0;
    if (proto_varint(m, &key)) return -1;
    f->number = (uint32_t)(key >> 3);
    f->type = key & 7;
    f->value = 0;
    f->bytes = (Message){m->at, m->at};
    if (f->type == 0) return proto_varint(m, &f->value) ? -1 : 1;
    if (f->type == 2) {
        if (proto_varint(m, &size)) return -1;
    } else if (f->type == 1 || f->type == 5)
        size = f->type == 1 ? 8 : 4;
    else
        return -1;
    if (size > (uint64_t)(m->end - m->at)) return -1;
    f->bytes = (Message){m->at, m->at + size};
    m->at += size;
    return 1;
}

static inline size_t proto_size(Message m) { return (size_t)(m.end - m.at); }

static inline int proto_is(Message m, const char *text) {
    return proto_size(m) == strlen(text) && !memcmp(m.at, text, proto_size(m));
}

static inline size_t varint_size(uint64_t value) {
    size_t size = 1;
    while (value >>= 7) size++;
    return size;
}

static inline void put_varint(Buffer *b, uint64_t value) {
    for (; value >= 0x80; value >>= 7) buffer_byte(b, (uint8_t)(value | 0x80));
    buffer_byte(b, (uint8_t)value);
}

static inline void put_number(Buffer *b, uint32_t field, uint64_t value) {
    put_varint(b, field << 3);
    put_varint(b, value);
}

static inline void put_size(Buffer *b, uint32_t field, size_t size) {
    put_varint(b, field << 3 | 2);
    put_varint(b, size);
}

static inline void put_bytes(Buffer *b, uint32_t field, const void *bytes, size_t size) {
    put_size(b, field, size);
    buffer_add(b, bytes, size);
}

static inline void put_text(Buffer *b, uint32_t field, const char *text) { put_bytes(b, field, text, strlen(text)); }

static inline void put_message(Buffer *b, uint32_t field, const Buffer *message) {
    put_bytes(b, field, message->data, message->end);
}

#endif
