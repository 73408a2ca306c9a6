/* HPACK (RFC 7541): a decoder with its dynamic table, and an encoder that indexes where the peer's table allows it. */
#ifndef NULL_HPACK_H
#define NULL_HPACK_H

#include "buffer.h"

typedef struct {
    char *name, *value; /* of one allocation */
    uint32_t name_size, value_size, hash;
} Entry;

/* The newest entry is number 0. */
typedef struct {
    Entry *ring;
    uint32_t slots, first, count;
    uint32_t size, limit, allowed; /* in bytes as RFC 7541 counts them; `allowed` is that of SETTINGS */
    uint32_t smallest;             /* encoder: smallest limit since the last block */
    int changed;                   /* encoder: the next block begins with the new limit */
} Table;

typedef void Header(void *context, const char *name, size_t name_size, const char *value, size_t value_size);

/* Call `header` for each field of a block; return 0, or -1 for a malformed block. */
int hpack_decode(Table *t, const uint8_t *block, size_t size, Header *header, void *context);
/* Append a field to a block: indexed where possible, else with incremental indexing, or without where the table is 0. */
void hpack_encode(Table *t, Buffer *block, const char *name, const char *value, size_t value_size);
/* Append a field without Huffman code and dynamic table. */
void hpack_literal(Buffer *block, const char *name, const char *value);
/* Begin a block with what the peer must learn about the size of the table. */
void hpack_begin(Table *t, Buffer *block);
void table_allow(Table *t, uint32_t bytes);
void table_free(Table *t);

/* Append the decoded octets; return 0, or -1 for a malformed string. */
int huffman_decode(const uint8_t *code, size_t size, Buffer *text);
size_t huffman_size(const char *text, size_t size);
void huffman_encode(const char *text, size_t size, Buffer *code);

#endif
