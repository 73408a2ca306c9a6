/* A server that speaks Triton's protocols and computes nothing: its answers have exactly known times. See README.md. */
#ifndef NULL_NULL_H
#define NULL_NULL_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "hpack.h"

enum {
    ID_BYTES = 64,              /* of a request's id that are returned */
    TOKEN_BYTES = 17,           /* sixteen digits and a space */
    MAX_TOKENS = 1000000,       /* of an answer */
    MAX_WHOLE_TOKENS = 100000,  /* of an answer that is not streamed */
    MAX_BODY = 64 << 20,        /* of a request */
};

typedef struct {
    int64_t first_ns, itl_ns, unary_ns; /* from the request to its first token; between tokens; to a whole answer */
    uint32_t tokens;                    /* of a request that states no number */
    bool gateway;                       /* changing headers in every answer */
    const char *pod;
    uint32_t max_streams, window, goaway_every; /* HTTP/2; 0: no limit, 65535 bytes, never */
    uint32_t close_every;                       /* HTTP/1.1: requests a connection; 0: no limit */
    int http_port, grpc_port;
} Options;
extern Options options;

typedef struct {
    const char *name;
    bool decoupled;
} Model;
const Model *model_of(const char *name, size_t size); /* NULL: unknown */
extern const Model MODELS[];
enum { MODEL_COUNT = 2 };

typedef struct Connection Connection;
typedef struct Stream Stream;
typedef struct Job Job;

typedef enum { GRPC_UNARY, GRPC_WHOLE, GRPC_TOKENS, HTTP_WHOLE, HTTP_TOKENS } Kind;
typedef enum { INFER, GENERATE, COMPLETION, CHAT } Call; /* over HTTP */

/* A request that is being answered. */
struct Job {
    Connection *connection;
    Stream *stream; /* NULL over HTTP/1.1 */
    Job *next;      /* of its stream */
    int64_t due_ns, first_ns; /* of the next token, or of the answer; of the first token */
    uint32_t place;              /* in the heap; 0: in none */
    uint32_t tokens, fired, sent; /* requested; whose time has come; sent */
    const Model *model;
    Kind kind;
    Call call;
    bool begun;       /* the headers of its answer are sent */
    bool empty_final; /* gRPC: a final response without output is requested */
    bool usage;       /* OpenAI: the numbers of tokens are requested */
    bool binary;      /* HTTP infer: outputs in binary form */
    char id[ID_BYTES];
    uint32_t id_size;
};

/* A stream of HTTP/2. */
struct Stream {
    Connection *connection;
    Stream *next, *previous, *same_hash;
    Job *jobs;
    uint32_t id;
    int64_t send_window, receive_window, received;
    uint8_t method;
    bool begun, half_closed; /* answer begun; the peer sends nothing more */
    int64_t first_byte_ns, message_ns; /* when the first byte and the whole message were read */
    char request_id[ID_BYTES];
    uint32_t request_id_size;
    Buffer body, pending; /* received messages; messages that flow control holds back */
};

struct Connection {
    int fd;
    bool http2, dead, stuck, closing; /* closing: when everything is sent; stuck: the socket takes nothing now */
    uint32_t events;
    Connection *next, *previous;
    Buffer in, out;
    int64_t left_ns; /* when the first unparsed byte was read */
    uint64_t requests;
    /* HTTP/1.1 */
    Job *job;
    bool last_request, continued; /* the answer says that the connection closes; 100 was sent */
    /* HTTP/2 */
    bool preface, acknowledged, blocked, going_away;
    Table decoder, encoder;
    Buffer block; /* of header fields that continue in another frame */
    uint32_t block_stream;
    uint8_t block_flags;
    int64_t block_ns;
    Stream *streams;
    uint32_t stream_count, last_stream, last_taken, peer_initial_window;
    int64_t send_window, receive_window, received;
};

/* main.c */
extern int epoll_fd;
int64_t clock_ns(void);
void token_text(char *text, int64_t stamp_ns);

/* connection.c */
void connections_accept(int listener, bool http2);
void connection_readable(Connection *c);
void connection_writable(Connection *c);
void connection_resume(Connection *c); /* parses requests that waited for the answer before them */
void connection_flush(Connection *c);  /* may close it */
void connection_close(Connection *c);
void connections_free_dead(void); /* those that closed in this turn of the loop */
void connections_close(void);

/* job.c */
void job_start(Job *job, int64_t now); /* may free the job */
void job_fire(Job *job);               /* its time has come; may free it, and its stream */
int64_t job_stamp(Job *job, bool blocked); /* the time, for the token that is sent next; blocked: the peer delayed it */
void job_sent_http(Job *job);          /* its answer is complete */

/* timer.c */
void timer_add(Job *job);
void timer_remove(Job *job);
Job *timer_first(void);

/* counters.c */
typedef struct {
    uint64_t connections, connections_open, requests, answers, cancelled, refused, goaways, flow_violations;
    uint64_t protocol_errors, tokens, tokens_blocked, bytes_in, bytes_out, streams_open, streams_peak, control;
} Counters;
extern Counters counters;
void counters_arrival(int64_t first_byte_ns, int64_t whole_ns, const char *id, size_t size);
void counters_late(int64_t late_ns);
void counters_json(Buffer *b);
void counters_arrivals(Buffer *b);
void counters_reset(void);

int decode_lines(void); /* decode.c */

/* headers.c: what gateways add to every answer */
enum { GATEWAY_FIELDS = 5 };
typedef struct {
    const char *name;
    char value[64];
    uint32_t size;
} Field;
const Field *gateway_fields(void);

/* http.c, http_answers.c */
int64_t http_receive(Connection *c, const uint8_t *data, size_t size, int64_t now); /* bytes taken; -1: close */
void http_head(Connection *c, int status, const char *type, int64_t length, const char *extra);
void http_whole(Job *job);
bool http_send(Job *job, bool blocked); /* what is due; whether the answer is complete */

/* h2.c, h2_send.c */
int64_t h2_receive(Connection *c, const uint8_t *data, size_t size, int64_t now);
void h2_frame(Buffer *b, uint32_t size, uint8_t type, uint8_t flags, uint32_t stream);
void h2_settings(Connection *c);
void h2_goaway(Connection *c, uint32_t error);
void h2_reset(Stream *s, uint32_t error); /* frees the stream */
void h2_message(Stream *s, const uint8_t *message, size_t size);
void h2_finish(Stream *s, int status, const char *message); /* trailers; frees the stream */
void h2_unblock(Connection *c);
void h2_stream_send(Stream *s, bool blocked); /* what windows and clock allow; may free the stream */
void h2_received(Connection *c, Stream *s, uint32_t bytes);
Stream *h2_stream(Connection *c, uint32_t id);
Stream *h2_stream_open(Connection *c, uint32_t id);
void h2_stream_free(Stream *s);

/* grpc.c, grpc_answers.c */
enum {
    METHOD_UNKNOWN,
    MODEL_INFER,
    MODEL_STREAM_INFER,
    SERVER_LIVE,
    SERVER_READY,
    MODEL_READY,
    SERVER_METADATA,
    MODEL_METADATA,
    MODEL_CONFIG,
    REPOSITORY_INDEX
};
uint8_t grpc_method(const char *path, size_t size);
int grpc_messages(Stream *s); /* takes the whole messages of the body; -1: the stream was freed */
bool grpc_token(Job *job, int64_t stamp_ns); /* whether it was the last one */
void grpc_whole(Job *job, int64_t stamp_ns);
void grpc_control(Stream *s, const uint8_t *message, size_t size); /* may free the stream */

/* json.c */
typedef struct {
    const char *text; /* NULL: missing */
    size_t size;
} Json;
Json json_member(Json object, const char *name);
bool json_next(Json array, size_t *at, Json *item); /* the next element of an array; start with *at = 0 */
int64_t json_integer(Json value, int64_t missing); /* that of [[7]] is 7 */
bool json_true(Json value);
Json json_string(Json value); /* without quotes, escapes as they are */

#endif
