#include "hpack.h"
#include "hpack_tables.h"

enum { OVERHEAD = 32, MAX_TABLE = 4096 };

static Entry *entry(const Table *t, uint32_t number) { return &t->ring[(t->first + number) % t->slots]; }

static void evict(Table *t, uint32_t room) {
    while (t->count && t->size > room) {
        Entry *oldest = entry(t, --t->count);
        t->size -= oldest->name_size + oldest->value_size + OVERHEAD;
        free(oldest->name);
        oldest->name = NULL;
    }
}

static void insert(Table *t, const char *name, size_t name_size, const char *value, size_t value_size, uint32_t hash) {
    size_t size = name_size + value_size + OVERHEAD;
    if (size > t->limit) {
        evict(t, 0);
        return;
    }
    char *text = malloc(name_size + value_size + 1); /* before eviction: the name may be that of an evicted entry */
    if (!text) abort();
    memcpy(text, name, name_size);
    memcpy(text + name_size, value, value_size);
    evict(t, t->limit - (uint32_t)size);
    if (!t->ring) {
        t->slots = MAX_TABLE / OVERHEAD + 1;
        t->ring = calloc(t->slots, sizeof *t->ring);
        if (!t->ring) abort();
    }
    t->first = (t->first + t->slots - 1) % t->slots;
    t->count++;
    t->size += (uint32_t)size;
    *entry(t, 0) = (Entry){text, text + name_size, (uint32_t)name_size, (uint32_t)value_size, hash};
}

/* Set the limit of a table; one of more than MAX_TABLE bytes is not used in full. */
void table_allow(Table *t, uint32_t bytes) {
    t->allowed = bytes < MAX_TABLE ? bytes : MAX_TABLE;
    if (t->limit != t->allowed) {
        if (!t->changed || t->allowed < t->smallest) t->smallest = t->allowed;
        t->changed = 1;
    }
    t->limit = t->allowed;
    evict(t, t->limit);
}

void table_free(Table *t) {
    evict(t, 0);
    free(t->ring);
    memset(t, 0, sizeof *t);
}

/* ---- decoder */

static int integer(const uint8_t **at, const uint8_t *end, int prefix, uint32_t *value) {
    uint32_t mask = (1u << prefix) - 1;
    if (*at >= end) return -1;
    *value = *(*at)++ & mask;
    if (*value < mask) return 0;
    for (int shift = 0; shift <= 21; shift += 7) {
        if (*at >= end) return -1;
        uint8_t byte = *(*at)++;
        *value += (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return 0;
    }
    return -1;
}

/* Append a string to `text` and return its size, or -1. */
static int64_t string(const uint8_t **at, const uint8_t *end, Buffer *text) {
    uint32_t size;
    int huffman = *at < end && (**at & 0x80);
    if (integer(at, end, 7, &size) || size > (size_t)(end - *at)) return -1;
    size_t before = text->end;
    if (huffman) {
        if (huffman_decode(*at, size, text)) return -1;
    } else
        buffer_add(text, *at, size);
    *at += size;
    return (int64_t)(text->end - before);
}

int hpack_decode(Table *t, const uint8_t *block, size_t block_size, Header *header, void *context) {
    static Buffer text;
    const uint8_t *at = block, *end = block + block_size;
    int begun = 0;
    while (at < end) {
        uint8_t kind = *at;
        uint32_t index;
        int indexed = kind & 0x80, adds = !indexed && (kind & 0x40);
        if (!indexed && !adds && (kind & 0x20)) { /* a new size of the dynamic table */
            if (begun || integer(&at, end, 5, &index) || index > t->allowed) return -1;
            t->limit = index;
            evict(t, t->limit);
            continue;
        }
        begun = 1;
        if (integer(&at, end, indexed ? 7 : adds ? 6 : 4, &index)) return -1;
        const char *name = NULL, *value = "";
        size_t name_size = 0, value_size = 0;
        if (index > STATIC_ENTRIES) {
            if (index - STATIC_ENTRIES > t->count) return -1;
            Entry *found = entry(t, index - STATIC_ENTRIES - 1);
            name = found->name, name_size = found->name_size;
            value = found->value, value_size = found->value_size;
        } else if (index) {
            name = STATIC_TABLE[index - 1].name, name_size = strlen(name);
            value = STATIC_TABLE[index - 1].value, value_size = strlen(value);
        }
        if (indexed) {
            if (!name) return -1;
        } else {
            text.start = text.end = 0;
            int64_t own = name ? 0 : string(&at, end, &text);
            if (own < 0) return -1;
            int64_t rest = string(&at, end, &text);
            if (rest < 0) return -1;
            if (!name) name = (const char *)text.data, name_size = (size_t)own;
            value = text.data ? (const char *)text.data + own : "", value_size = (size_t)rest;
        }
        header(context, name, name_size, value, value_size);
        if (adds) insert(t, name, name_size, value, value_size, 0);
    }
    return 0;
}

/* ---- encoder */

static void put_integer(Buffer *b, uint8_t kind, int prefix, uint32_t value) {
    uint32_t mask = (1u << prefix) - 1;
    if (value < mask) {
        buffer_byte(b, (uint8_t)(kind | value));
        return;
    }
    buffer_byte(b, (uint8_t)(kind | mask));
    for (value -= mask; value >= 0x80; value >>= 7) buffer_byte(b, (uint8_t)(value | 0x80));
    buffer_byte(b, (uint8_t)value);
}

static void put_string(Buffer *b, const char *text, size_t size) {
    size_t coded = huffman_size(text, size);
    if (coded < size) {
        put_integer(b, 0x80, 7, (uint32_t)coded);
        huffman_encode(text, size, b);
    } else {
        put_integer(b, 0, 7, (uint32_t)size);
        buffer_add(b, text, size);
    }
}

void hpack_literal(Buffer *block, const char *name, const char *value) {
    uint32_t index = 0;
    if (!strcmp(name, ":status") && !strcmp(value, "200")) {
        buffer_byte(block, 0x88);
        return;
    }
    if (!strcmp(name, "content-type")) index = 31;
    put_integer(block, 0, 4, index);
    size_t name_size = strlen(name), value_size = strlen(value);
    if (!index) put_integer(block, 0, 7, (uint32_t)name_size), buffer_add(block, name, name_size);
    put_integer(block, 0, 7, (uint32_t)value_size);
    buffer_add(block, value, value_size);
}

void hpack_begin(Table *t, Buffer *block) {
    if (t->changed && t->smallest < t->limit) put_integer(block, 0x20, 5, t->smallest);
    if (t->changed) put_integer(block, 0x20, 5, t->limit);
    t->changed = 0;
}

void hpack_encode(Table *t, Buffer *block, const char *name, const char *value, size_t value_size) {
    size_t name_size = strlen(name);
    uint32_t hash = 2166136261u, index = 0;
    for (size_t i = 0; i < name_size; i++) hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    for (size_t i = 0; i < value_size; i++) hash = (hash ^ (uint8_t)value[i]) * 16777619u;
    for (uint32_t i = 0; i < STATIC_ENTRIES; i++) {
        if (name[0] != STATIC_TABLE[i].name[0] && name[1] != STATIC_TABLE[i].name[1]) continue;
        if (strcmp(name, STATIC_TABLE[i].name)) continue;
        if (!index) index = i + 1;
        if (strlen(STATIC_TABLE[i].value) == value_size && !memcmp(STATIC_TABLE[i].value, value, value_size)) {
            put_integer(block, 0x80, 7, i + 1);
            return;
        }
    }
    for (uint32_t i = 0; i < t->count; i++) {
        Entry *e = entry(t, i);
        int same = e->name_size == name_size && !memcmp(e->name, name, name_size);
        if (same && e->hash == hash && e->value_size == value_size && !memcmp(e->value, value, value_size)) {
            put_integer(block, 0x80, 7, STATIC_ENTRIES + 1 + i);
            return;
        }
        if (same && !index) index = STATIC_ENTRIES + 1 + i;
    }
    if (t->limit)
        put_integer(block, 0x40, 6, index);
    else
        put_integer(block, 0, 4, index);
    if (!index) put_string(block, name, name_size);
    put_string(block, value, value_size);
    if (t->limit) insert(t, name, name_size, value, value_size, hash);
}
