/* Requests that are being answered. */
#include "null.h"

static void unlink_job(Job *job) {
    if (!job->stream)
        job->connection->job = NULL;
    else
        for (Job **at = &job->stream->jobs; *at; at = &(*at)->next)
            if (*at == job) {
                *at = job->next;
                break;
            }
    free(job);
}

void job_sent_http(Job *job) {
    Connection *c = job->connection;
    counters.answers++;
    unlink_job(job);
    if (c->last_request) c->closing = true;
}

static void send_whole(Job *job) {
    if (job->stream) {
        grpc_whole(job, clock_ns());
        unlink_job(job);
    } else {
        http_whole(job);
        job_sent_http(job);
    }
}

void job_start(Job *job, int64_t now) {
    bool tokens = job->kind == GRPC_TOKENS || job->kind == HTTP_TOKENS;
    int64_t delay = tokens && job->tokens ? options.first_ns : options.unary_ns;
    if (tokens && !job->tokens) job->kind = job->stream ? GRPC_WHOLE : HTTP_TOKENS;
    job->first_ns = job->due_ns = now + delay;
    if (job->kind == HTTP_TOKENS && !job->tokens) {
        http_send(job, false);
        job_sent_http(job);
    } else if (!tokens && !delay)
        send_whole(job);
    else
        timer_add(job);
}

int64_t job_stamp(Job *job, bool blocked) {
    int64_t now = clock_ns(), due = job->first_ns + (int64_t)job->sent * options.itl_ns;
    counters.tokens++;
    if (blocked || job->fired - job->sent > 1)
        counters.tokens_blocked++;
    else
        counters_late(now - due);
    return now;
}

void job_fire(Job *job) {
    timer_remove(job);
    Stream *s = job->stream;
    if (job->kind == GRPC_TOKENS || job->kind == HTTP_TOKENS) {
        job->fired++;
        job->due_ns += options.itl_ns;
        if (job->fired < job->tokens) timer_add(job);
        if (!s && http_send(job, false)) job_sent_http(job);
    } else
        send_whole(job);
    if (s) h2_stream_send(s, false);
}
