/* Bulk load for a TCP server on this machine: one connection, as fast as it goes.
 *
 *     bulk in|out PORT PID WINDOWS SECONDS
 *
 * "in": the server receives; at the end of a connection it says how many bytes came (8 bytes,
 * little endian).  "out": it sends.  The first connection carries a pattern of WORDS words to the
 * end, which the server ("in") or this program ("out") compares.  PID is the server: its CPU clock
 * is read at both ends of each of the WINDOWS of SECONDS on the second connection, which follow a
 * warm-up as long as one of them.  Prints {"bytes", "seconds", "cpu_ns"} for each window.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 1049999, PIECE = 1 << 18, PATIENCE_S = 5 };

static uint64_t pattern[WORDS];
static unsigned char buffer[sizeof pattern + 1];

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bulk: ", stderr);
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

static int connected(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connecting to port %s", port);
    return fd;
}

static void send_all(int fd, const void *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0)
            die("send");
        sent += n;
    }
}

/* Receives to the end, at most `limit` bytes; returns how many. */
static size_t receive_all(int fd, size_t limit) {
    size_t received = 0;
    ssize_t n;
    while (received < limit && (n = recv(fd, buffer + received, limit - received, 0)) != 0) {
        if (n < 0)
            die("recv");
        received += n;
    }
    return received;
}

static void verify(int in, const char *port) {
    int fd = connected(port);
    uint64_t count;

    for (uint64_t i = 0; i < WORDS; i++)
        pattern[i] = htole64(i * UINT64_C(0x9E3779B97F4A7C15));
    if (in) {
        send_all(fd, pattern, sizeof pattern);
        shutdown(fd, SHUT_WR);
        if (receive_all(fd, sizeof count + 1) != sizeof count)
            die("the server did not accept what it got");
        memcpy(&count, buffer, sizeof count);
        if (le64toh(count) != sizeof pattern)
            die("the server got %llu bytes", (unsigned long long)le64toh(count));
    } else if (receive_all(fd, sizeof buffer) != sizeof pattern ||
               memcmp(buffer, pattern, sizeof pattern) != 0) {
        die("the server sent something else than it should");
    }
    close(fd);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fputs("usage: bulk in|out PORT PID WINDOWS SECONDS\n", stderr);
        return 2;
    }
    int in = !strcmp(argv[1], "in"), windows = atoi(argv[4]);
    int64_t length = atof(argv[5]) * 1e9;
    clockid_t server_cpu;
    errno = clock_getcpuclockid(atoi(argv[3]), &server_cpu);
    if (errno)
        die("CPU clock of process %s", argv[3]);
    verify(in, argv[2]);

    int fd = connected(argv[2]);
    int64_t begin = read_clock(CLOCK_MONOTONIC), cpu = 0;
    uint64_t bytes = 0;
    for (int window = -1; window < windows;) { /* -1 is the warm-up */
        ssize_t n = in ? send(fd, pattern, PIECE, MSG_NOSIGNAL) : recv(fd, buffer, PIECE, 0);
        if (n <= 0)
            die("the connection ended, or stood still for %d s", PATIENCE_S);
        bytes += n;
        int64_t now = read_clock(CLOCK_MONOTONIC);
        if (now < begin + length)
            continue;
        int64_t cpu_now = read_clock(server_cpu);
        if (window >= 0)
            printf("{\"bytes\": %llu, \"seconds\": %.3f, \"cpu_ns\": %lld}\n",
                   (unsigned long long)bytes, (now - begin) / 1e9, (long long)(cpu_now - cpu));
        window++;
        begin = now;
        cpu = cpu_now;
        bytes = 0;
    }
    return 0;
}
