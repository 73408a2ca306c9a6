/* Numbers of HTTP/2 (RFC 9113). */
#ifndef NULL_H2_H
#define NULL_H2_H

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };
enum { HEADER_TABLE_SIZE = 1, MAX_CONCURRENT_STREAMS = 3, INITIAL_WINDOW_SIZE = 4 };
enum {
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    STREAM_CLOSED = 5,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    COMPRESSION_ERROR = 9,
    ENHANCE_YOUR_CALM = 11
};
enum { FRAME_HEAD = 9, MAX_FRAME = 16384, DEFAULT_WINDOW = 65535, MAX_WINDOW = 0x7fffffff, MAX_BLOCK = 1 << 18 };

static inline unsigned read32(const unsigned char *p) {
    return (unsigned)p[0] << 24 | (unsigned)p[1] << 16 | (unsigned)p[2] << 8 | p[3];
}

static inline void write32(unsigned char *p, unsigned value) {
    p[0] = (unsigned char)(value >> 24), p[1] = (unsigned char)(value >> 16);
    p[2] = (unsigned char)(value >> 8), p[3] = (unsigned char)value;
}

#endif
