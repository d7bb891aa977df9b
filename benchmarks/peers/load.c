/* Ping-pong load for an echo server on this machine: one request under way per connection.
 *
 *     load tcp|tls|udp|unix ADDRESS CONNECTIONS BYTES PID WINDOWS SECONDS
 *
 * ADDRESS is a port, or with "unix" an abstract name without the null byte.
 *
 * Every request differs (connection and number are written into it) and every byte that comes
 * back is compared, in the warm-up and in the timed windows alike.  PID is the server: its CPU
 * clock is read at both ends of each of the WINDOWS of SECONDS that follow the warm-up, which is
 * as long as one of them.  Prints {"requests", "seconds", "cpu_ns", "p50_ns", "p99_ns"} for each
 * window: the last two are what half, and all but a hundredth, of its requests took at most, from
 * before the first byte was sent until the last one had come back.
 *
 * "tls" is for the program that was compiled with -DTLS, which knows nothing else and checks no
 * certificate.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
#endif

enum { MAX_BYTES = 1 << 20, EVENTS = 256, PATIENCE_MS = 5000 };

struct connection {
    int fd;
    uint32_t number;
    size_t sent;            /* bytes of the request under way */
    size_t received;        /* bytes of the reply to it */
    int blocked;            /* whether the rest of the request waits for room */
    int64_t begun;          /* when the request was */
    uint64_t requests;
    unsigned char *request;
#ifdef TLS
    SSL *ssl;
#endif
};

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    if (errno)
        fprintf(stderr, ": %s", strerror(errno));
    fputc('\n', stderr);
    exit(1);
}

static int64_t read_clock(clockid_t clock) {
    struct timespec now;
    if (clock_gettime(clock, &now) < 0)
        die("clock_gettime");
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Latencies of one window, in buckets that are at most 1/64 of what is in them wide. */
enum { FINE = 6, BUCKETS = (64 - FINE + 1) << FINE };
static uint64_t latencies[BUCKETS];

static void note(uint64_t ns) {
    int shift = ns >> FINE ? 63 - __builtin_clzll(ns) - FINE : 0;

    latencies[((uint64_t)shift << FINE) + (ns >> shift)]++;
}

/* Returns what of the latencies so noted the given share is not above, to the middle of a bucket. */
static uint64_t quantile(uint64_t requests, double share) {
    uint64_t wanted = requests * share, seen = 0;
    int bucket = 0;

    while (bucket < BUCKETS - 1 && (seen += latencies[bucket]) <= wanted)
        bucket++;
    if (bucket < 2 << FINE)
        return bucket;
    int shift = (bucket >> FINE) - 1;
    uint64_t low = (uint64_t)(bucket - (shift << FINE)) << shift;
    return low + (UINT64_C(1) << shift) / 2;
}

/* Returns a socket that is connected. */
static int connected(const char *kind, const char *where) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(atoi(where))};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int local = !strcmp(kind, "unix"), type = strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM;
    size_t length = strlen(where);
    int on = 1, fd = socket(local ? AF_UNIX : AF_INET, type | SOCK_CLOEXEC, 0);

    if (fd < 0)
        die("socket");
    if (length >= sizeof un.sun_path)
        die("too long a name: %s", where);
    memcpy(un.sun_path + 1, where, length);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (local ? connect(fd, (struct sockaddr *)&un, offsetof(struct sockaddr_un, sun_path) + 1 + length)
              : connect(fd, (struct sockaddr *)&in, sizeof in))
        die("connect to %s %s", kind, where);
    if (!local && type == SOCK_STREAM && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    return fd;
}

static void prepare(struct connection *c, int fd, size_t size, unsigned seed) {
    c->fd = fd;
    c->request = malloc(size);
    if (!c->request)
        die("malloc");
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        c->request[i] = seed >> 24;
    }
}

#ifdef TLS
static void encrypt(struct connection *c) {
    static SSL_CTX *context;

    if (!context)
        context = SSL_CTX_new(TLS_client_method());
    c->ssl = SSL_new(context);
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd) || SSL_connect(c->ssl) != 1)
        die("TLS handshake");
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
        die("O_NONBLOCK");
}

static ssize_t put(struct connection *c, const void *data, size_t size) {
    int n = SSL_write(c->ssl, data, size);

    if (n > 0)
        return n;
    errno = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}

static ssize_t get(struct connection *c, void *data, size_t size) {
    int n = SSL_read(c->ssl, data, size);

    if (n > 0)
        return n;
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_SSL:
        errno = EPROTO;
    }
    return -1;
}
#else
static ssize_t put(struct connection *c, const void *data, size_t size) {
    return send(c->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t get(struct connection *c, void *data, size_t size) {
    return recv(c->fd, data, size, MSG_DONTWAIT);
}
#endif

/* Sends as much of the request as there is room for, and has epoll say when there is more. */
static void push(struct connection *c, int epoll, size_t size) {
    int blocked = 0;

    while (c->sent < size && !blocked) {
        ssize_t n = put(c, c->request + c->sent, size - c->sent);
        if (n >= 0)
            c->sent += n;
        else if (errno == EAGAIN)
            blocked = 1;
        else
            die("send");
    }
    errno = 0;
    if (blocked == c->blocked)
        return;
    c->blocked = blocked;
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.u32 = c->number};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        die("epoll_ctl");
}

static void send_request(struct connection *c, int epoll, size_t size) {
    c->requests++;
    memcpy(c->request, &c->requests, size < sizeof c->requests ? size : sizeof c->requests);
    c->sent = c->received = 0;
    c->begun = read_clock(CLOCK_MONOTONIC);
    push(c, epoll, size);
}

/* Returns whether the reply is complete. */
static int receive_reply(struct connection *c, size_t size) {
    static unsigned char buffer[MAX_BYTES + 1];
    ssize_t n = get(c, buffer, size - c->received + 1);

    if (n < 0 && errno == EAGAIN) {
        errno = 0;
        return 0;
    }
    if (n < 0)
        die("recv");
    errno = 0;
    if (n == 0)
        die("a connection has ended, or a datagram was empty");
    if (c->received + n > c->sent)
        die("the server sent more than it got");
    if (memcmp(buffer, c->request + c->received, n) != 0)
        die("request %llu came back changed", (unsigned long long)c->requests);
    c->received += n;
    return c->received == size;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fputs("usage: load tcp|tls|udp|unix ADDRESS CONNECTIONS BYTES PID WINDOWS SECONDS\n",
              stderr);
        return 2;
    }
    int count = atoi(argv[3]), size = atoi(argv[4]);
    int windows = atoi(argv[6]);
    int64_t length = atof(argv[7]) * 1e9;
    if (count < 1 || size < 1 || size > MAX_BYTES || windows < 1)
        die("CONNECTIONS and WINDOWS must be at least 1, BYTES in 1..%d", MAX_BYTES);

    clockid_t server_cpu;
    errno = clock_getcpuclockid(atoi(argv[5]), &server_cpu);
    if (errno)
        die("CPU clock of process %s", argv[5]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc(count, sizeof *connections);
    if (epoll < 0 || !connections)
        die("starting");
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        prepare(&connections[i], connected(argv[1], argv[2]), size, i);
        connections[i].number = i;
#ifdef TLS
        encrypt(&connections[i]);
#endif
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event) < 0)
            die("epoll_ctl");
    }
    for (int i = 0; i < count; i++)
        send_request(&connections[i], epoll, size);

    int64_t begin = read_clock(CLOCK_MONOTONIC), cpu = 0;
    uint64_t requests = 0;
    int window = -1;  /* -1 is the warm-up; WINDOWS: only the last replies are awaited */
    int open = count; /* connections with a request under way */
    while (open > 0) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(epoll, events, EVENTS, PATIENCE_MS);
        if (ready < 0)
            die("epoll_wait");
        if (ready == 0)
            die("no reply for %d ms", PATIENCE_MS);
        for (int i = 0; i < ready; i++) {
            struct connection *c = &connections[events[i].data.u32];
            if (events[i].events & EPOLLOUT)
                push(c, epoll, size);
            if (!(events[i].events & ~EPOLLOUT) || !receive_reply(c, size))
                continue;
            note(read_clock(CLOCK_MONOTONIC) - c->begun);
            requests++;
            if (window == windows)
                open--;
            else
                send_request(c, epoll, size);
        }
        int64_t now = read_clock(CLOCK_MONOTONIC);
        if (window == windows || now < begin + length)
            continue;
        int64_t cpu_now = read_clock(server_cpu);
        if (window >= 0)
            printf("{\"requests\": %llu, \"seconds\": %.3f, \"cpu_ns\": %lld, "
                   "\"p50_ns\": %llu, \"p99_ns\": %llu}\n",
                   (unsigned long long)requests, (now - begin) / 1e9, (long long)(cpu_now - cpu),
                   (unsigned long long)quantile(requests, 0.5),
                   (unsigned long long)quantile(requests, 0.99));
        window++;
        begin = now;
        cpu = cpu_now;
        requests = 0;
        memset(latencies, 0, sizeof latencies);
    }
    return 0;
}
