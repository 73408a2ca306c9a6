/* Finds values in JSON without building anything; text that is not JSON has no members. */
#include "null.h"

#include <ctype.h>

static size_t spaces(Json j, size_t at) {
    while (at < j.size && isspace((unsigned char)j.text[at])) at++;
    return at;
}

/* Return where the value that starts here ends. */
static size_t skip(Json j, size_t at) {
    int depth = 0;
    while (at < j.size) {
        char c = j.text[at];
        if (c == '"') {
            for (at++; at < j.size && j.text[at] != '"'; at++)
                if (j.text[at] == '\\') at++;
            at++;
            if (!depth) break;
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']') {
            if (!depth) break; /* the end of what holds this value */
            if (!--depth) return at + 1;
        } else if (!depth && (c == ',' || isspace((unsigned char)c)))
            break;
        at++;
    }
    return at < j.size ? at : j.size;
}

Json json_member(Json object, const char *name) {
    Json none = {NULL, 0};
    size_t name_size = strlen(name), at = spaces(object, 0);
    if (at >= object.size || object.text[at] != '{') return none;
    for (at++; (at = spaces(object, at)) < object.size && object.text[at] == '"'; at++) {
        size_t key = at + 1;
        at = skip(object, at);
        bool same = at - key == name_size + 1 && !memcmp(object.text + key, name, name_size);
        at = spaces(object, at);
        if (at >= object.size || object.text[at] != ':') return none;
        size_t value = spaces(object, at + 1);
        at = skip(object, value);
        if (same) return (Json){object.text + value, at - value};
        at = spaces(object, at);
        if (at >= object.size || object.text[at] != ',') return none;
    }
    return none;
}

bool json_next(Json array, size_t *at, Json *item) {
    size_t start = spaces(array, *at);
    if (start >= array.size || (*at == 0 && array.text[start] != '[')) return false;
    if (array.text[start] == '[' && *at == 0) start = spaces(array, start + 1);
    else if (array.text[start] == ',') start = spaces(array, start + 1);
    if (start >= array.size || array.text[start] == ']') return false;
    size_t end = skip(array, start);
    if (end == start) return false;
    *item = (Json){array.text + start, end - start};
    *at = end;
    return true;
}

int64_t json_integer(Json value, int64_t missing) {
    size_t at = 0;
    while (at < value.size && (value.text[at] == '[' || isspace((unsigned char)value.text[at]))) at++;
    if (at >= value.size || !(isdigit((unsigned char)value.text[at]))) return missing;
    int64_t number = 0;
    for (; at < value.size && isdigit((unsigned char)value.text[at]) && number < INT32_MAX; at++)
        number = number * 10 + (value.text[at] - '0');
    return number;
}

bool json_true(Json value) { return value.size >= 4 && !memcmp(value.text, "true", 4); }

Json json_string(Json value) {
    if (value.size < 2 || value.text[0] != '"') return (Json){NULL, 0};
    return (Json){value.text + 1, value.size - 2};
}
