/* Connections: what they read, and what they could not send yet. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "null.h"

enum { READ_BYTES = 1 << 16, MAX_OUT = 4 << 20 };

static Connection *open_connections, *dead_connections;

void connections_accept(int listener, bool http2) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        Connection *c = calloc(1, sizeof *c);
        if (!c) abort();
        *c = (Connection){.fd = fd, .http2 = http2, .events = EPOLLIN, .next = open_connections,
                          .peer_initial_window = 65535, .send_window = 65535, .receive_window = 65535,
                          .decoder = {.limit = 4096, .allowed = 4096}, .encoder = {.limit = 4096, .allowed = 4096}};
        if (c->next) c->next->previous = c;
        open_connections = c;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
        counters.connections++;
        counters.connections_open++;
    }
}

static void watch(Connection *c) {
    bool full = buffer_size(&c->out) > MAX_OUT || (c->job && buffer_size(&c->in) > MAX_BODY);
    uint32_t events = (full ? 0 : EPOLLIN) | (c->stuck ? EPOLLOUT : 0);
    if (c->dead || events == c->events) return;
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
    c->events = events;
}

void connection_close(Connection *c) {
    if (c->dead) return;
    c->dead = true;
    if (c->job) {
        timer_remove(c->job);
        free(c->job);
        counters.cancelled++;
    }
    while (c->streams) h2_stream_free(c->streams);
    close(c->fd);
    if (c->previous) c->previous->next = c->next;
    if (c->next) c->next->previous = c->previous;
    if (open_connections == c) open_connections = c->next;
    counters.connections_open--;
    c->next = dead_connections; /* an event of this turn may still name it */
    dead_connections = c;
}

void connections_free_dead(void) {
    for (Connection *c; (c = dead_connections);) {
        dead_connections = c->next;
        buffer_free(&c->in);
        buffer_free(&c->out);
        buffer_free(&c->block);
        table_free(&c->decoder);
        table_free(&c->encoder);
        free(c);
    }
}

void connection_flush(Connection *c) {
    while (!c->dead && buffer_size(&c->out)) {
        ssize_t n = send(c->fd, buffer_bytes(&c->out), buffer_size(&c->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno != EAGAIN) {
            connection_close(c);
            return;
        }
        c->stuck = n < 0;
        if (n < 0) break;
        counters.bytes_out += (uint64_t)n;
        buffer_consume(&c->out, (size_t)n);
    }
    if (!c->dead && c->closing && !buffer_size(&c->out)) shutdown(c->fd, SHUT_WR); /* the peer closes then */
    watch(c);
}

/* Parse what is there, and keep the rest. */
static void parse(Connection *c, const uint8_t *data, size_t size, int64_t now) {
    bool kept = data == c->in.data + c->in.start && size;
    int64_t taken = c->closing ? (int64_t)size : (c->http2 ? h2_receive : http_receive)(c, data, size, now);
    if (taken < 0) {
        counters.protocol_errors++;
        connection_close(c);
        return;
    }
    if (taken) c->left_ns = 0;
    if ((size_t)taken < size && !c->left_ns) c->left_ns = now;
    if (kept)
        buffer_consume(&c->in, (size_t)taken);
    else
        buffer_add(&c->in, data + taken, size - (size_t)taken);
    if (!buffer_size(&c->in) && c->in.capacity > READ_BYTES) buffer_free(&c->in);
}

void connection_readable(Connection *c) {
    static uint8_t bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    int64_t now = clock_ns();
    if (n <= 0) {
        connection_close(c);
        return;
    }
    counters.bytes_in += (uint64_t)n;
    if (buffer_size(&c->in)) {
        buffer_add(&c->in, bytes, (size_t)n);
        parse(c, buffer_bytes(&c->in), buffer_size(&c->in), now);
    } else
        parse(c, bytes, (size_t)n, now);
    connection_flush(c);
}

void connection_writable(Connection *c) {
    connection_flush(c);
    if (c->dead || c->stuck) return;
    if (c->http2)
        h2_unblock(c);
    else if (c->job && c->job->sent < c->job->fired && http_send(c->job, true))
        job_sent_http(c->job);
    connection_flush(c);
}

void connection_resume(Connection *c) {
    while (!c->dead && !c->http2 && !c->job && !c->closing && buffer_size(&c->in)) {
        size_t before = buffer_size(&c->in);
        parse(c, buffer_bytes(&c->in), before, clock_ns());
        if (buffer_size(&c->in) == before) break;
    }
}

void connections_close(void) {
    while (open_connections) connection_close(open_connections);
    connections_free_dead();
}
