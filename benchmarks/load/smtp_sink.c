/* smtp_sink: takes mail over SMTP and throws it away, as fast as one thread can.
 *
 *   smtp_sink -p PORT -o COUNTERS [-m FILE] [-x CHAIN.pem -k KEY.pem]
 *
 * With a certificate it offers STARTTLS. COUNTERS is a file that holds, while it runs, eight-octet
 * numbers in the machine's order: messages, connections, handshakes, and the time of the last
 * message in nanoseconds of CLOCK_MONOTONIC. After SIGUSR1 it writes the next message to FILE, as
 * it comes, with the final dot. Ends with SIGTERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 256

struct counters {
    uint64_t messages, connections, handshakes, last;
};

struct session {
    int socket, is_handshaking, is_message, has_quit;
    unsigned matched; /* octets of CRLF.CRLF that were seen */
    SSL *tls;
    size_t input_length, output_length;
    char output[4096], input[65536];
};

static volatile struct counters *counters;
static volatile sig_atomic_t is_one_wanted;
static const char *kept_path;
static struct session *kept; /* whose message is being kept */
static int kept_file;
static SSL_CTX *context;
static int epoll;

static void want_one(int signal) {
    (void)signal;
    is_one_wanted = 1;
}

static void begin_keeping(struct session *s) {
    is_one_wanted = 0;
    kept_file = open(kept_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (kept_file >= 0)
        kept = s;
}

static void keep(const char *octets, size_t length) {
    if (write(kept_file, octets, length) != (ssize_t)length)
        perror("smtp_sink: keep");
}

static void end_keeping(void) {
    close(kept_file);
    kept = NULL;
}

static void end_session(struct session *s) {
    if (s == kept)
        end_keeping();
    if (s->tls) {
        SSL_shutdown(s->tls);
        SSL_free(s->tls);
    }
    close(s->socket);
    free(s);
}

static void say(struct session *s, const char *text) {
    size_t length = strlen(text);
    if (s->output_length + length > sizeof s->output)
        return; /* a client that sends commands without end and reads nothing */
    memcpy(s->output + s->output_length, text, length);
    s->output_length += length;
}

static int flush(struct session *s) {
    if (!s->output_length)
        return 0;
    ssize_t count = s->tls ? SSL_write(s->tls, s->output, s->output_length)
                           : write(s->socket, s->output, s->output_length);
    s->output_length = 0;
    return count > 0 ? 0 : -1;
}

static void count_message(struct session *s) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    counters->last = t.tv_sec * 1000000000ull + t.tv_nsec;
    counters->messages++;
    s->is_message = 0;
    say(s, "250 2.0.0 taken\r\n");
}

/* Give where the message ends, behind its final dot; NULL when it goes on. */
static char *find_end(struct session *s, char *p, char *rest) {
    static const char end[] = "\r\n.\r\n";
    while (p < rest) {
        if (!s->matched && !(p = memchr(p, '\r', rest - p)))
            return NULL;
        char c = *p++;
        s->matched = c == end[s->matched] ? s->matched + 1 : c == '\r';
        if (s->matched == sizeof end - 1)
            return p;
    }
    return NULL;
}

static int is_verb(const char *line, size_t length, const char *verb) {
    size_t count = strlen(verb);
    return length >= count && !strncasecmp(line, verb, count);
}

/* 1 when what follows is a handshake. */
static int take_command(struct session *s, const char *line, size_t length) {
    if (is_verb(line, length, "EHLO")) {
        say(s, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n");
        if (context && !s->tls)
            say(s, "250-STARTTLS\r\n");
        say(s, "250 ENHANCEDSTATUSCODES\r\n");
    } else if (is_verb(line, length, "STARTTLS") && context && !s->tls) {
        say(s, "220 2.0.0 ready\r\n");
        return 1;
    } else if (is_verb(line, length, "DATA")) {
        say(s, "354 go on\r\n");
        s->is_message = 1;
        if (is_one_wanted && kept_path && !kept)
            begin_keeping(s);
        s->matched = 2; /* the CRLF of DATA is the one before the final dot of an empty message */
    } else if (is_verb(line, length, "QUIT")) {
        say(s, "221 2.0.0 bye\r\n");
        s->has_quit = 1;
    } else {
        say(s, "250 2.0.0 ok\r\n");
    }
    return 0;
}

/* Use what was read; -1 when the session is over. */
static int take_input(struct session *s) {
    char *p = s->input, *rest = s->input + s->input_length, *end;
    while (p < rest) {
        if (s->is_message) {
            end = find_end(s, p, rest);
            if (s == kept)
                keep(p, (end ? end : rest) - p);
            if (!end) {
                p = rest;
                break;
            }
            if (s == kept)
                end_keeping(); /* before it is counted: who waits for it finds it whole */
            count_message(s);
            p = end;
        } else if ((end = memchr(p, '\n', rest - p))) {
            int is_tls = take_command(s, p, end - p);
            p = end + 1;
            if (is_tls) {
                if (flush(s) < 0)
                    return -1;
                s->tls = SSL_new(context);
                SSL_set_fd(s->tls, s->socket);
                s->is_handshaking = 1;
                p = rest;
            }
        } else {
            break;
        }
    }
    s->input_length = rest - p;
    memmove(s->input, p, s->input_length);
    return flush(s) < 0 || s->has_quit || s->input_length == sizeof s->input ? -1 : 0;
}

/* 0 to wait for the socket, -1 for a fault. */
static int tls_wait(struct session *s, int result) {
    int error = SSL_get_error(s->tls, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Read until the socket is empty; -1 when the session is over. */
static int read_input(struct session *s) {
    for (;;) {
        if (s->is_handshaking) {
            int result = SSL_accept(s->tls);
            if (result != 1)
                return tls_wait(s, result);
            s->is_handshaking = 0;
            counters->handshakes++;
        }
        char *place = s->input + s->input_length;
        size_t room = sizeof s->input - s->input_length;
        int is_encrypted = s->tls != NULL;
        ssize_t count = is_encrypted ? SSL_read(s->tls, place, room) : read(s->socket, place, room);
        if (count <= 0 && is_encrypted)
            return tls_wait(s, count);
        if (count <= 0)
            return count < 0 && errno == EAGAIN ? 0 : -1;
        s->input_length += count;
        if (take_input(s) < 0)
            return -1;
    }
}

static void accept_session(int listener) {
    int one = 1, client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (client < 0)
        return;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct session *s = malloc(sizeof *s);
    memset(s, 0, offsetof(struct session, output));
    s->socket = client;
    counters->connections++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
    say(s, "220 sink.example ESMTP\r\n");
    flush(s);
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 1024) < 0) {
        perror("smtp_sink: listen");
        exit(1);
    }
    return listener;
}

static void map_counters(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, sizeof *counters) < 0) {
        perror("smtp_sink: counters");
        exit(1);
    }
    counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (counters == MAP_FAILED) {
        perror("smtp_sink: counters");
        exit(1);
    }
}

static void load_certificate(const char *chain, const char *key) {
    context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, chain) != 1
        || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "smtp_sink: cannot use %s with %s\n", chain, key);
        exit(1);
    }
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"sink", 4);
}

int main(int count, char **arguments) {
    int port = 2600;
    const char *chain = NULL, *key = NULL, *path = NULL;
    for (int option; (option = getopt(count, arguments, "p:o:m:x:k:")) != -1;)
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'o': path = optarg; break;
        case 'm': kept_path = optarg; break;
        case 'x': chain = optarg; break;
        case 'k': key = optarg; break;
        default: return 2;
        }
    if (!path)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, want_one);
    map_counters(path);
    if (chain && key)
        load_certificate(chain, key);
    int listener = listen_on(port);
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct session *s = events[i].data.ptr;
            if (!s)
                accept_session(listener);
            else if (read_input(s) < 0)
                end_session(s);
        }
    }
}
