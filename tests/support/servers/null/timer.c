/* The jobs that wait for their time: a binary heap by due time, then by connection. */
#include "null.h"

static Job **heap; /* from 1 */
static uint32_t count, capacity;

static bool earlier(const Job *a, const Job *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->connection < b->connection;
}

static void put(Job *job, uint32_t place) {
    heap[place] = job;
    job->place = place;
}

static void rise(Job *job, uint32_t place) {
    for (; place > 1 && earlier(job, heap[place / 2]); place /= 2) put(heap[place / 2], place);
    put(job, place);
}

static void sink(Job *job, uint32_t place) {
    for (uint32_t child; (child = place * 2) <= count; place = child) {
        if (child < count && earlier(heap[child + 1], heap[child])) child++;
        if (!earlier(heap[child], job)) break;
        put(heap[child], place);
    }
    put(job, place);
}

void timer_add(Job *job) {
    if (count + 2 > capacity) {
        capacity = capacity ? capacity * 2 : 1024;
        heap = realloc(heap, capacity * sizeof *heap);
        if (!heap) abort();
    }
    rise(job, ++count);
}

void timer_remove(Job *job) {
    uint32_t place = job->place;
    if (!place) return;
    job->place = 0;
    Job *last = heap[count--];
    if (last == job) return;
    if (place > 1 && earlier(last, heap[place / 2]))
        rise(last, place);
    else
        sink(last, place);
}

Job *timer_first(void) { return count ? heap[1] : NULL; }
