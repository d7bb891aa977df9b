/* The floor: an echo server on epoll, level-triggered, one read and one write per request.
 *
 *     epoll tcp|unix
 *
 * Listens on a free port of 127.0.0.1, or on a free abstract name, and prints it (the name
 * without the null byte).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 256, BACKLOG = 1024 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static int listen_on_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listening");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Bound to nothing, the socket gets an abstract name of the system's choice: unix(7). */
static int listen_on_free_name(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) < 0 ||
        listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        die("listening");
    length -= offsetof(struct sockaddr_un, sun_path) + 1;
    printf("%.*s\n", (int)length, address.sun_path + 1);
    fflush(stdout);
    return fd;
}

static void accept_one(int epoll, int listener, int tcp) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED)
            return;
        die("accept4");
    }
    if (tcp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        die("TCP_NODELAY");
    watch(epoll, fd);
}

static void echo(int fd) {
    static char buffer[BUFFER];
    ssize_t received = read(fd, buffer, sizeof buffer), sent = 0;

    if (received < 0 && errno == EAGAIN)
        return;
    while (sent < received) {
        ssize_t n = send(fd, buffer + sent, received - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += n;
        } else if (errno == EAGAIN) {
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            poll(&writable, 1, -1);
        } else {
            received = 0;
        }
    }
    if (received <= 0)
        close(fd);
}

int main(int argc, char **argv) {
    int tcp = argc < 2 || strcmp(argv[1], "unix");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = tcp ? listen_on_free_port() : listen_on_free_name();
    struct epoll_event events[EVENTS];

    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listener)
                accept_one(epoll, listener, tcp);
            else
                echo(events[i].data.fd);
        }
    }
}
