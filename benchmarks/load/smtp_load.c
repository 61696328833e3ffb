/* smtp_load: sends messages over many SMTP sessions at once and measures the answers.
 *
 * One thread, epoll, OpenSSL. Each session sends its messages one after the other; a session that
 * has ended is followed by a new one until all messages are sent. Prints one JSON object.
 *
 *   smtp_load -p PORT -n MESSAGES [-c SESSIONS] [-m MESSAGES_PER_SESSION] [-s OCTETS]
 *             [-r RECIPIENT] [-t] [-H] [-P] [-w SECONDS]
 *
 * -t: STARTTLS, always a full handshake, nothing verified. -H: the same, and a handshake is all that
 * a session is for: it counts as a message. -P: MAIL, RCPT and DATA in one write (RFC 2920). -w:
 * give up after so many seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 256
#define MAX_ERRORS 100

enum step { GREETING, EHLO, STARTTLS, HANDSHAKE, EHLO_AGAIN, MAIL, RCPT, DATA, ENVELOPE, END, QUIT };

struct session {
    int socket, sent, is_watching_output, replies_owed;
    enum step step;
    SSL *tls;
    const char *output; /* what is still to be written: `line`, or the message */
    size_t output_left, input_length;
    char line[512], input[4096];
    double asked;
};

static struct {
    int port, sessions, messages, per_session, octets, has_tls, is_handshake_only, is_pipelined,
        seconds;
    const char *recipient;
} want = {.port = 2525, .sessions = 20, .messages = 1000, .per_session = 1, .octets = 4096,
          .seconds = 120, .recipient = "someone@sink.example"};

static int epoll, begun, accepted, errors, handshakes, opened, active;
static double *waits;
static char *message;
static size_t message_length;
static SSL_CTX *context;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void watch_output(struct session *s, int is_wanted) {
    if (s->is_watching_output == is_wanted)
        return;
    s->is_watching_output = is_wanted;
    struct epoll_event event = {.events = EPOLLIN | (is_wanted ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_MOD, s->socket, &event);
}

static void open_session(struct session *s) {
    memset(s, 0, offsetof(struct session, line));
    s->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    int one = 1;
    setsockopt(s->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(want.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    opened++;
    active++;
    if (connect(s->socket, (void *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        perror("smtp_load: connect");
        exit(1);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_ADD, s->socket, &event);
}

static void end_session(struct session *s, const char *fault) {
    if (fault && errors++ < 5)
        fprintf(stderr, "smtp_load: %s (step %d)\n", fault, s->step);
    if (s->tls)
        SSL_free(s->tls);
    close(s->socket);
    s->socket = -1;
    s->tls = NULL;
    active--;
    if (errors < MAX_ERRORS && opened * want.per_session < want.messages)
        open_session(s);
}

/* The result of an OpenSSL call that is not done: 0 to wait for the socket, -1 for a fault. */
static int tls_wait(struct session *s, int result) {
    int error = SSL_get_error(s->tls, result);
    watch_output(s, error == SSL_ERROR_WANT_WRITE);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Write what is left; -1 for a fault. */
static int flush(struct session *s) {
    int is_encrypted = s->tls && s->step != HANDSHAKE;
    while (s->output_left) {
        ssize_t count = is_encrypted ? SSL_write(s->tls, s->output, s->output_left)
                                     : write(s->socket, s->output, s->output_left);
        if (count <= 0 && is_encrypted)
            return tls_wait(s, count);
        if (count < 0) {
            watch_output(s, errno == EAGAIN);
            return errno == EAGAIN ? 0 : -1;
        }
        s->output += count;
        s->output_left -= count;
    }
    watch_output(s, 0);
    return 0;
}

static int say(struct session *s, enum step step, const char *text) {
    s->step = step;
    s->output = text;
    s->output_left = strlen(text);
    return flush(s);
}

static int start_message(struct session *s) {
    if (begun >= want.messages || s->sent >= want.per_session)
        return say(s, QUIT, "QUIT\r\n");
    begun++;
    s->sent++;
    int length = snprintf(s->line, sizeof s->line, "MAIL FROM:<load%d@sender.example>\r\n", begun);
    if (!want.is_pipelined)
        return say(s, MAIL, s->line);
    snprintf(s->line + length, sizeof s->line - length, "RCPT TO:<%s>\r\nDATA\r\n", want.recipient);
    s->replies_owed = 3;
    return say(s, ENVELOPE, s->line);
}

static int send_message(struct session *s) {
    s->step = END;
    s->output = message;
    s->output_left = message_length;
    s->asked = now();
    return flush(s);
}

static int do_handshake(struct session *s) {
    int result = SSL_do_handshake(s->tls);
    if (result != 1)
        return tls_wait(s, result);
    handshakes++;
    if (want.is_handshake_only)
        waits[accepted++] = now() - s->asked;
    return say(s, EHLO_AGAIN, "EHLO load.example\r\n");
}

static int start_tls(struct session *s) {
    s->tls = SSL_new(context);
    SSL_set_fd(s->tls, s->socket);
    SSL_set_tlsext_host_name(s->tls, "mx.bench.example");
    SSL_set_connect_state(s->tls);
    s->step = HANDSHAKE;
    s->asked = now();
    return do_handshake(s);
}

/* Take one whole reply; 1 when the session is over, -1 for a fault. */
static int take_reply(struct session *s, const char *line) {
    if (line[0] != '2' && line[0] != '3') {
        if (errors < 5)
            fprintf(stderr, "smtp_load: %.*s\n", (int)strcspn(line, "\r\n"), line);
        return -1;
    }
    switch (s->step) {
    case GREETING:
        return say(s, EHLO, "EHLO load.example\r\n");
    case EHLO:
        return want.has_tls ? say(s, STARTTLS, "STARTTLS\r\n") : start_message(s);
    case STARTTLS:
        return start_tls(s);
    case EHLO_AGAIN:
        return want.is_handshake_only ? say(s, QUIT, "QUIT\r\n") : start_message(s);
    case MAIL:
        snprintf(s->line, sizeof s->line, "RCPT TO:<%s>\r\n", want.recipient);
        return say(s, RCPT, s->line);
    case RCPT:
        return say(s, DATA, "DATA\r\n");
    case DATA:
        return send_message(s);
    case ENVELOPE:
        return --s->replies_owed ? 0 : send_message(s);
    case END:
        waits[accepted++] = now() - s->asked;
        return start_message(s);
    case QUIT:
        return 1;
    case HANDSHAKE:
        break;
    }
    return -1;
}

/* Read until the socket is empty; 1 when the session is over, -1 for a fault. */
static int read_replies(struct session *s) {
    for (;;) {
        if (s->step == HANDSHAKE) {
            int result = do_handshake(s);
            if (result < 0 || s->step == HANDSHAKE)
                return result;
        }
        size_t room = sizeof s->input - s->input_length;
        int is_encrypted = s->tls != NULL;
        ssize_t count = is_encrypted ? SSL_read(s->tls, s->input + s->input_length, room)
                                     : read(s->socket, s->input + s->input_length, room);
        if (count <= 0 && is_encrypted)
            return tls_wait(s, count);
        if (count <= 0)
            return count < 0 && errno == EAGAIN ? 0 : -1;
        s->input_length += count;
        char *line = s->input, *rest = s->input + s->input_length, *end;
        while ((end = memchr(line, '\n', rest - line))) {
            int result = end - line > 3 && line[3] == '-' ? 0 : take_reply(s, line);
            if (result)
                return result;
            line = end + 1;
        }
        s->input_length = rest - line;
        memmove(s->input, line, s->input_length);
    }
}

static void make_message(void) {
    message = malloc(want.octets + 512);
    char *p = message;
    p += sprintf(p, "From: <load@sender.example>\r\nTo: <%s>\r\nSubject: load\r\n"
                    "Message-ID: <%d@load.example>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n\r\n",
                 want.recipient, (int)getpid());
    for (int column = 0; p - message < want.octets - 2;) {
        if (column == 76) {
            *p++ = '\r';
            *p++ = '\n';
            column = 0;
        } else {
            *p++ = 'a' + column++ % 26;
        }
    }
    p += sprintf(p, "\r\n.\r\n");
    message_length = p - message;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return accepted ? waits[(int)((accepted - 1) * share)] * 1e3 : 0;
}

static void take_options(int count, char **arguments) {
    for (int option; (option = getopt(count, arguments, "p:n:c:m:s:r:tHPw:")) != -1;)
        switch (option) {
        case 'p': want.port = atoi(optarg); break;
        case 'n': want.messages = atoi(optarg); break;
        case 'c': want.sessions = atoi(optarg); break;
        case 'm': want.per_session = atoi(optarg); break;
        case 's': want.octets = atoi(optarg); break;
        case 'r': want.recipient = optarg; break;
        case 't': want.has_tls = 1; break;
        case 'H': want.has_tls = want.is_handshake_only = 1; break;
        case 'P': want.is_pipelined = 1; break;
        case 'w': want.seconds = atoi(optarg); break;
        default: exit(2);
        }
    if (want.messages < 1 || want.sessions < 1 || want.per_session < 1 || want.octets < 512)
        exit(2);
}

int main(int count, char **arguments) {
    take_options(count, arguments);
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
    make_message();
    waits = calloc(want.messages, sizeof *waits);
    epoll = epoll_create1(0);
    struct session *sessions = calloc(want.sessions, sizeof *sessions);
    double start = now();
    for (int i = 0; i < want.sessions && opened * want.per_session < want.messages; i++)
        open_session(&sessions[i]);
    struct epoll_event events[MAX_EVENTS];
    while (active && now() - start < want.seconds) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, 1000);
        for (int i = 0; i < ready; i++) {
            struct session *s = events[i].data.ptr;
            int result = s->output_left && s->step != HANDSHAKE ? flush(s) : 0;
            if (result == 0)
                result = read_replies(s);
            if (result)
                end_session(s, result < 0 ? "the session broke off" : NULL);
        }
    }
    double end = now();
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    qsort(waits, accepted, sizeof *waits, compare);
    printf("{\"messages\": %d, \"errors\": %d, \"is_timeout\": %s, \"handshakes\": %d, "
           "\"start\": %.6f, \"seconds\": %.6f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"cpu_seconds\": %.3f}\n",
           accepted, errors, active ? "true" : "false", handshakes, start, end - start,
           percentile(0.5), percentile(0.99),
           used.ru_utime.tv_sec + used.ru_stime.tv_sec
               + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6);
    return errors || active || accepted < want.messages;
}
