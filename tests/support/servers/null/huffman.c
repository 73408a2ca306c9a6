#include "hpack.h"
#include "hpack_tables.h"

enum { END = 256, NODES = 1024 };

/* A binary tree: a node's two children, as numbers of nodes, or ~symbol at a leaf; 0 where no code leads. */
static int16_t tree[NODES][2];

static void build(void) {
    int nodes = 1;
    for (int symbol = 0; symbol <= END; symbol++) {
        int node = 0;
        for (int bit = HUFFMAN[symbol].bits - 1; bit >= 0; bit--) {
            int side = HUFFMAN[symbol].code >> bit & 1;
            if (!bit)
                tree[node][side] = (int16_t)~symbol;
            else {
                if (!tree[node][side]) tree[node][side] = (int16_t)nodes++;
                node = tree[node][side];
            }
        }
    }
}

int huffman_decode(const uint8_t *code, size_t size, Buffer *text) {
    if (!tree[0][0]) build();
    int node = 0, depth = 0, ones = 1;
    uint8_t *out = buffer_room(text, size * 8 / 5 + 1); /* the shortest code has five bits */
    for (size_t i = 0; i < size; i++) {
        for (int bit = 7; bit >= 0; bit--) {
            int side = code[i] >> bit & 1, next = tree[node][side];
            if (next < 0) {
                if (~next == END) return -1;
                *out++ = (uint8_t)~next;
                text->end++;
                node = depth = 0;
                ones = 1;
            } else {
                node = next;
                depth++;
                ones &= side;
            }
        }
    }
    return depth > 7 || !ones ? -1 : 0; /* the padding is the start of the code of the end */
}

size_t huffman_size(const char *text, size_t size) {
    size_t bits = 0;
    for (size_t i = 0; i < size; i++) bits += HUFFMAN[(uint8_t)text[i]].bits;
    return (bits + 7) / 8;
}

void huffman_encode(const char *text, size_t size, Buffer *code) {
    uint64_t pending = 0;
    int bits = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t symbol = (uint8_t)text[i];
        pending = pending << HUFFMAN[symbol].bits | HUFFMAN[symbol].code;
        bits += HUFFMAN[symbol].bits;
        for (; bits >= 8; bits -= 8) buffer_byte(code, (uint8_t)(pending >> (bits - 8)));
    }
    if (bits) buffer_byte(code, (uint8_t)(pending << (8 - bits) | 0xff >> bits));
}
