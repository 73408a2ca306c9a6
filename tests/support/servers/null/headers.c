#include "null.h"

#include <time.h>

/* Return the fields of an answer that passes a gateway: they differ from those of every other answer. */
const Field *gateway_fields(void) {
    static Field fields[GATEWAY_FIELDS] = {
        {"date", "", 0}, {"server", "envoy", 5}, {"x-request-id", "", 36}, {"x-pod-name", "", 0},
        {"x-envoy-upstream-service-time", "", 0}};
    static time_t second;
    static uint64_t state = 0x9e3779b97f4a7c15u;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm utc;
        second = now.tv_sec;
        gmtime_r(&second, &utc);
        fields[0].size = (uint32_t)strftime(fields[0].value, sizeof fields[0].value, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        fields[3].size = (uint32_t)snprintf(fields[3].value, sizeof fields[3].value, "%s", options.pod);
        if (fields[3].size >= sizeof fields[3].value) fields[3].size = sizeof fields[3].value - 1;
    }
    static const char HEX[] = "0123456789abcdef";
    char *id = fields[2].value;
    uint64_t bits = 0;
    for (int i = 0; i < 36; i++) { /* splitmix64, as a UUID */
        if (!(i % 16)) {
            bits = (state += 0x9e3779b97f4a7c15u);
            bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
            bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
            bits ^= bits >> 31;
        }
        id[i] = i == 8 || i == 13 || i == 18 || i == 23 ? '-' : HEX[bits >> (i % 16) * 4 & 15];
    }
    fields[4].size = (uint32_t)snprintf(fields[4].value, sizeof fields[4].value, "%u", (unsigned)(bits >> 3 & 63));
    return fields;
}
