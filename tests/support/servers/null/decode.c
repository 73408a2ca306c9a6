/* Tries the HPACK decoder: header blocks in hexadecimal from standard input, one a line, with one dynamic table. */
#include "null.h"

static void print(const char *bytes, size_t size, char end) {
    for (size_t i = 0; i < size; i++) printf("%02x", (uint8_t)bytes[i]);
    putchar(end);
}

static void field(void *context, const char *name, size_t name_size, const char *value, size_t value_size) {
    (void)context;
    print(name, name_size, ':');
    print(value, value_size, ' ');
}

/* Print each block's fields as `name:value ...` in hexadecimal, or `malformed`; `limit N` sets the table's size,
   `new` begins with an empty one. */
int decode_lines(void) {
    Table table = {.limit = 4096, .allowed = 4096};
    Buffer block = {0};
    char *line = NULL;
    size_t capacity = 0;
    for (ssize_t n; (n = getline(&line, &capacity, stdin)) > 0;) {
        if (!strncmp(line, "limit ", 6)) {
            table_allow(&table, (uint32_t)strtoul(line + 6, NULL, 10));
            continue;
        }
        if (!strncmp(line, "new", 3)) {
            table_free(&table);
            table.limit = table.allowed = 4096;
            continue;
        }
        block.start = block.end = 0;
        for (const char *at = line; at[0] > ' ' && at[1] > ' '; at += 2)
            buffer_byte(&block, (uint8_t)strtoul((char[]){at[0], at[1], 0}, NULL, 16));
        puts(hpack_decode(&table, block.data, block.end, field, NULL) ? "malformed" : "");
    }
    free(line);
    buffer_free(&block);
    table_free(&table);
    return 0;
}
