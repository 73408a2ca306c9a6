/* What the server received and sent. */
#include "null.h"

Counters counters;

enum { RECORDS = 100000, RECORD_ID = 32, FINE = 16, BUCKETS = 64 * FINE };

static struct Record {
    int64_t first_byte_ns, whole_ns;
    char id[RECORD_ID];
} *records;
static uint64_t recorded;

/* Lateness of tokens: sixteen buckets for each power of two of nanoseconds. */
static uint64_t histogram[BUCKETS], late_count;
static int64_t late_max;

void counters_arrival(int64_t first_byte_ns, int64_t whole_ns, const char *id, size_t size) {
    if (!records) records = calloc(RECORDS, sizeof *records);
    if (!records) abort();
    struct Record *record = &records[recorded++ % RECORDS];
    record->first_byte_ns = first_byte_ns;
    record->whole_ns = whole_ns;
    memset(record->id, 0, RECORD_ID);
    memcpy(record->id, id, size < RECORD_ID ? size : RECORD_ID);
    counters.requests++;
}

static uint32_t bucket(int64_t ns) {
    if (ns < FINE) return ns < 0 ? 0 : (uint32_t)ns;
    int power = 63 - __builtin_clzll((uint64_t)ns);
    return (uint32_t)(power - 3) * FINE + (uint32_t)(ns >> (power - 4) & (FINE - 1));
}

static int64_t upper(uint32_t bucket) {
    if (bucket < FINE) return bucket;
    return ((int64_t)(bucket % FINE + FINE + 1) << (bucket / FINE - 1)) - 1;
}

void counters_late(int64_t late_ns) {
    histogram[bucket(late_ns)]++;
    late_count++;
    if (late_ns > late_max) late_max = late_ns;
}

static int64_t quantile(double q) {
    uint64_t below = 0;
    for (uint32_t b = 0; b < BUCKETS; b++) {
        below += histogram[b];
        if (below && (double)below >= q * (double)late_count) return upper(b) < late_max ? upper(b) : late_max;
    }
    return 0;
}

void counters_json(Buffer *b) {
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {"connections", counters.connections},
        {"connections_open", counters.connections_open},
        {"requests", counters.requests},
        {"control_requests", counters.control},
        {"answers", counters.answers},
        {"cancelled", counters.cancelled},
        {"refused_streams", counters.refused},
        {"goaways", counters.goaways},
        {"flow_control_violations", counters.flow_violations},
        {"protocol_errors", counters.protocol_errors},
        {"tokens", counters.tokens},
        {"tokens_blocked", counters.tokens_blocked},
        {"bytes_in", counters.bytes_in},
        {"bytes_out", counters.bytes_out},
        {"streams_open", counters.streams_open},
        {"streams_peak", counters.streams_peak},
        {"late_p50_ns", (uint64_t)quantile(0.5)},
        {"late_p99_ns", (uint64_t)quantile(0.99)},
        {"late_max_ns", (uint64_t)late_max},
    };
    char line[96];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        snprintf(line, sizeof line, "%s\"%s\": %llu", i ? ", " : "{", values[i].name, (unsigned long long)values[i].value);
        buffer_text(b, line);
    }
    buffer_text(b, "}\n");
}

void counters_arrivals(Buffer *b) {
    uint64_t first = recorded > RECORDS ? recorded - RECORDS : 0;
    for (uint64_t i = first; i < recorded; i++) buffer_add(b, &records[i % RECORDS], sizeof *records);
}

/* Set everything to zero but what is open now. */
void counters_reset(void) {
    uint64_t connections = counters.connections_open, streams = counters.streams_open;
    memset(&counters, 0, sizeof counters);
    counters.connections_open = connections;
    counters.streams_open = counters.streams_peak = streams;
    memset(histogram, 0, sizeof histogram);
    late_count = recorded = 0;
    late_max = 0;
}
