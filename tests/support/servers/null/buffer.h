/* A byte buffer that grows at its end and is consumed from its start. */
#ifndef NULL_BUFFER_H
#define NULL_BUFFER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t *data;
    size_t start, end, capacity;
} Buffer;

static inline size_t buffer_size(const Buffer *b) { return b->end - b->start; }

static inline uint8_t *buffer_bytes(const Buffer *b) { return b->data + b->start; }

/* Return room for n bytes at the end; buffer_added() or b->end += n makes them part of the content. */
static inline uint8_t *buffer_room(Buffer *b, size_t n) {
    if (b->end + n > b->capacity) {
        size_t size = b->end - b->start;
        if (b->start) {
            memmove(b->data, b->data + b->start, size);
            b->start = 0;
            b->end = size;
        }
        if (size + n > b->capacity) {
            size_t capacity = b->capacity ? b->capacity : 256;
            while (capacity < size + n) capacity *= 2;
            b->data = realloc(b->data, capacity);
            if (!b->data) {
                fputs("out of memory\n", stderr);
                abort();
            }
            b->capacity = capacity;
        }
    }
    return b->data + b->end;
}

static inline void buffer_add(Buffer *b, const void *bytes, size_t n) {
    if (!n) return;
    memcpy(buffer_room(b, n), bytes, n);
    b->end += n;
}

static inline void buffer_text(Buffer *b, const char *text) { buffer_add(b, text, strlen(text)); }

static inline void buffer_byte(Buffer *b, uint8_t byte) { buffer_add(b, &byte, 1); }

static inline void buffer_consume(Buffer *b, size_t n) {
    b->start += n;
    if (b->start == b->end) b->start = b->end = 0;
}

static inline void buffer_free(Buffer *b) {
    free(b->data);
    memset(b, 0, sizeof *b);
}

#endif
