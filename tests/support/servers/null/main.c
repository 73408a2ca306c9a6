/* Options, sockets, and the loop: one thread, epoll, and a timer of absolute times. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "null.h"

enum { MAX_EVENTS = 64, MAX_FIRED = 256 };

Options options = {.tokens = 16, .pod = "null-0", .window = 65535};
const Model MODELS[] = {{"tensorrt_llm_bls", true}, {"ensemble", false}};

int epoll_fd;
static int timer_fd;
static volatile sig_atomic_t stopped;

const Model *model_of(const char *name, size_t size) {
    for (int i = 0; i < MODEL_COUNT; i++)
        if (strlen(MODELS[i].name) == size && !memcmp(MODELS[i].name, name, size)) return &MODELS[i];
    return NULL;
}

int64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void token_text(char *text, int64_t stamp_ns) {
    for (int i = TOKEN_BYTES - 2; i >= 0; i--, stamp_ns /= 10) text[i] = (char)('0' + stamp_ns % 10);
    text[TOKEN_BYTES - 1] = ' ';
}

/* Send what is due: in one write only tokens of one connection that are due at the same time. */
static void run_due(void) {
    Job *job;
    for (int fired = 0; fired < MAX_FIRED && (job = timer_first()) && job->due_ns <= clock_ns();) {
        Connection *c = job->connection;
        int64_t due_ns = job->due_ns;
        do {
            job_fire(job);
            fired++;
        } while ((job = timer_first()) && job->connection == c && job->due_ns == due_ns && fired < MAX_FIRED);
        connection_resume(c);
        connection_flush(c);
    }
}

static void arm(void) {
    static int64_t armed;
    Job *job = timer_first();
    int64_t due = job ? job->due_ns : 0;
    if (due == armed && due > clock_ns()) return;
    if (!due && !armed) return;
    struct itimerspec at = {.it_value = {due / 1000000000, due % 1000000000}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    armed = due;
}

/* ---- start */

static int listen_at(int *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) {
        fprintf(stderr, "cannot listen at 127.0.0.1:%d: %s\n", *port, strerror(errno));
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    *port = ntohs(address.sin_port);
    return fd;
}

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void add(int fd, void *tag) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void serve(int http, int grpc, bool lifeline) {
    static char http_tag, grpc_tag, timer_tag, input_tag;
    struct epoll_event events[MAX_EVENTS];
    add(http, &http_tag);
    add(grpc, &grpc_tag);
    add(timer_fd, &timer_tag);
    if (lifeline) add(STDIN_FILENO, &input_tag);
    while (!stopped) {
        run_due();
        arm();
        int n = epoll_wait(epoll_fd, events, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            void *tag = events[i].data.ptr;
            Connection *c = tag;
            if (tag == &timer_tag) continue; /* arm() sets it again */
            if (tag == &input_tag)
                stopped = stopped || read(STDIN_FILENO, &(char[1]){0}, 1) <= 0;
            else if (tag == &http_tag || tag == &grpc_tag)
                connections_accept(tag == &http_tag ? http : grpc, tag == &grpc_tag);
            else {
                if (!c->dead && events[i].events & EPOLLOUT) connection_writable(c);
                if (!c->dead && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) connection_readable(c);
                connection_resume(c);
            }
            run_due();
        }
        connections_free_dead();
    }
}

static int64_t milliseconds(const char *text) { return (int64_t)(strtod(text, NULL) * 1e6 + 0.5); }

int main(int argc, char **argv) {
    static const struct option NAMES[] = {
        {"first-ms", 1, 0, 'f'},    {"itl-ms", 1, 0, 'i'},      {"unary-ms", 1, 0, 'u'},     {"tokens", 1, 0, 't'},
        {"gateway", 0, 0, 'g'},     {"pod", 1, 0, 'p'},         {"max-streams", 1, 0, 'm'},  {"window", 1, 0, 'w'},
        {"goaway-every", 1, 0, 'a'}, {"close-every", 1, 0, 'c'}, {"http-port", 1, 0, 'H'},    {"grpc-port", 1, 0, 'G'},
        {"decode", 0, 0, 'd'},      {0, 0, 0, 0}};
    for (int option; (option = getopt_long(argc, argv, "", NAMES, NULL)) >= 0;) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'f': options.first_ns = milliseconds(optarg); break;
        case 'i': options.itl_ns = milliseconds(optarg); break;
        case 'u': options.unary_ns = milliseconds(optarg); break;
        case 't': options.tokens = number; break;
        case 'g': options.gateway = true; break;
        case 'p': options.pod = optarg; break;
        case 'm': options.max_streams = number; break;
        case 'w': options.window = number; break;
        case 'a': options.goaway_every = number; break;
        case 'c': options.close_every = number; break;
        case 'H': options.http_port = (int)number; break;
        case 'G': options.grpc_port = (int)number; break;
        case 'd': return decode_lines();
        default: return 2;
        }
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int http = listen_at(&options.http_port), grpc = listen_at(&options.grpc_port);
    struct stat input;
    bool lifeline = !fstat(STDIN_FILENO, &input) && S_ISFIFO(input.st_mode); /* stops with the process that started it */
    printf("{\"http\": %d, \"grpc\": %d, \"pid\": %d}\n", options.http_port, options.grpc_port, getpid());
    fflush(stdout);
    serve(http, grpc, lifeline);
    connections_close();
    return 0;
}
