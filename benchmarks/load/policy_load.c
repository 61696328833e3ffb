/* policy_load: asks a socketmap server for policies over many connections, and measures the answers.
 *
 * One thread, epoll. Each connection has DEPTH queries under way, as Postfix has one; an answer is
 * followed by the next query, or waits for its time with -g. Prints one JSON object.
 *
 *   policy_load -p PORT -n QUERIES [-c CONNECTIONS] [-d DEPTH] [-k KEYS] [-f FORMAT] [-g MICROS]
 *               [-w SECONDS]
 *
 * Keys are made of FORMAT (`warm%d.example`) and the numbers below KEYS, in turn. -g: between two
 * queries of a connection. -w: give up after so many seconds. `found` counts answers that begin
 * with OK.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 256
#define MAX_DEPTH 64

struct connection {
    int socket, under_way, first; /* `first`: the place of the oldest query in `asked` */
    double asked[MAX_DEPTH], next;
    size_t held;
    char input[65536];
};

static struct {
    int port, connections, queries, depth, keys, gap, seconds;
    const char *format;
} want = {.port = 8461, .connections = 20, .queries = 10000, .depth = 1, .keys = 100,
          .seconds = 120, .format = "warm%d.example"};

static int asked, answered, found;
static double *waits;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    fprintf(stderr, "policy_load: %s\n", what);
    exit(1);
}

/* Fill the connection up to its depth, in one write. */
static void ask(struct connection *c) {
    char output[MAX_DEPTH * 320];
    size_t length = 0;
    double t = now();
    if (want.gap && t < c->next)
        return;
    while (c->under_way < want.depth && asked < want.queries) {
        char key[256], query[300];
        snprintf(key, sizeof key, want.format, asked % want.keys);
        int size = snprintf(query, sizeof query, "postfix %s", key);
        length += sprintf(output + length, "%d:%s,", size, query);
        c->asked[(c->first + c->under_way++) % MAX_DEPTH] = t;
        asked++;
    }
    c->next = (c->next && want.gap ? c->next : t) + want.gap * 1e-6;
    if (length && write(c->socket, output, length) != (ssize_t)length)
        fail("the server does not take queries");
}

static void take(struct connection *c) {
    ssize_t count = read(c->socket, c->input + c->held, sizeof c->input - c->held - 1);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0)
        fail("the server ended a connection");
    c->held += count;
    c->input[c->held] = 0;
    char *at = c->input;
    double t = now();
    for (;;) {
        char *colon;
        long length = strtol(at, &colon, 10);
        size_t left = c->input + c->held - at;
        if (colon == at || *colon != ':' || left < (size_t)(colon - at) + 2 + length)
            break;
        found += !strncmp(colon + 1, "OK ", 3);
        waits[answered++] = t - c->asked[c->first];
        c->first = (c->first + 1) % MAX_DEPTH;
        c->under_way--;
        at = colon + 2 + length;
    }
    c->held -= at - c->input;
    memmove(c->input, at, c->held);
}

static int by_length(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    for (int option; (option = getopt(count, words, "p:n:c:d:k:f:g:w:")) != -1;)
        switch (option) {
        case 'p': want.port = atoi(optarg); break;
        case 'n': want.queries = atoi(optarg); break;
        case 'c': want.connections = atoi(optarg); break;
        case 'd': want.depth = atoi(optarg); break;
        case 'k': want.keys = atoi(optarg); break;
        case 'f': want.format = optarg; break;
        case 'g': want.gap = atoi(optarg); break;
        case 'w': want.seconds = atoi(optarg); break;
        default: return 2;
        }
    if (want.depth > MAX_DEPTH)
        fail("too deep");
    waits = calloc(want.queries, sizeof *waits);
    struct connection *all = calloc(want.connections, sizeof *all);
    int epoll = epoll_create1(0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(want.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < want.connections; i++) {
        all[i].socket = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
        setsockopt(all[i].socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(all[i].socket, (void *)&address, sizeof address) < 0)
            fail("nobody listens");
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].socket, &event);
    }
    double start = now();
    /* Not all at the same time, when they are paced. */
    for (int i = 0; i < want.connections; i++) {
        all[i].next = want.gap ? start + want.gap * 1e-6 * i / want.connections : 0;
        ask(&all[i]);
    }
    while (answered < want.queries) {
        if (now() - start > want.seconds)
            fail("it takes too long");
        struct epoll_event events[MAX_EVENTS];
        struct timespec pause = {.tv_nsec = 200000};
        int ready = epoll_pwait2(epoll, events, MAX_EVENTS, want.gap ? &pause : NULL, NULL);
        for (int i = 0; i < ready; i++) {
            take(events[i].data.ptr);
            if (!want.gap)
                ask(events[i].data.ptr);
        }
        for (int i = 0; want.gap && i < want.connections; i++)
            if (all[i].under_way < want.depth)
                ask(&all[i]);
    }
    double seconds = now() - start;
    qsort(waits, answered, sizeof *waits, by_length);
    printf("{\"start\": %.6f, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, "
           "\"max_ms\": %.4f, \"found\": %d}\n",
           start, seconds, waits[answered / 2] * 1e3, waits[answered * 99 / 100] * 1e3,
           waits[answered - 1] * 1e3, found);
    return 0;
}
