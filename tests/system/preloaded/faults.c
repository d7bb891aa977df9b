/* System calls that fail on demand, for a process into which this library is preloaded.
 *
 * fail_calls("accept4", ENFILE, 3) makes the next three calls of accept4() fail so; afterwards the
 * call is the system's again.  calls_failed("accept4") counts those that have failed since the last
 * fail_calls().  Both return -1 for a call that is not in the table below.
 *
 * fail_by_chance(20, 7, 0) makes one call in 20 fail, by the seed 7, until fail_by_chance(0, 0, 0): on
 * sockets that socket(), accept() or accept4() have made, and so neither on pairs nor on what event
 * loops and interpreters have for themselves.  Errors are those that pass, or with 1 as
 * the last argument those that stay as well.  The system never says EAGAIN and leaves it at that:
 * so whoever watches the socket, edge-triggered, is given the event that comes later.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

/* name, type of the result, parameters, arguments, errors that pass, errors that stay: by chance */
#define CALLS(X) \
    X(socket, int, (int family, int type, int protocol), (family, type, protocol), \
      NONE, NONE) \
    X(bind, int, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length), \
      NONE, NONE) \
    X(listen, int, (int fd, int backlog), (fd, backlog), \
      NONE, NONE) \
    X(connect, int, (int fd, const struct sockaddr *address, socklen_t length), \
      (fd, address, length), \
      (address->sa_family == AF_UNIX ? WAITING : NONE), REFUSED) \
    X(accept, int, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length), \
      UNACCEPTED, UNACCEPTED) \
    X(accept4, int, (int fd, struct sockaddr *address, socklen_t *length, int flags), \
      (fd, address, length, flags), \
      UNACCEPTED, UNACCEPTED) \
    X(recv, ssize_t, (int fd, void *memory, size_t size, int flags), (fd, memory, size, flags), \
      INTERRUPTED, BROKEN) \
    X(recvfrom, ssize_t, \
      (int fd, void *memory, size_t size, int flags, struct sockaddr *address, socklen_t *length), \
      (fd, memory, size, flags, address, length), \
      INTERRUPTED, BROKEN) \
    X(recvmsg, ssize_t, (int fd, struct msghdr *message, int flags), (fd, message, flags), \
      INTERRUPTED, BROKEN) \
    X(recvmmsg, int, \
      (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout), \
      (fd, messages, count, flags, timeout), \
      INTERRUPTED, BROKEN) \
    X(send, ssize_t, (int fd, const void *memory, size_t size, int flags), \
      (fd, memory, size, flags), \
      INTERRUPTED, BROKEN) \
    X(sendto, ssize_t, \
      (int fd, const void *memory, size_t size, int flags, const struct sockaddr *address, \
       socklen_t length), \
      (fd, memory, size, flags, address, length), \
      INTERRUPTED, BROKEN) \
    X(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags), (fd, message, flags), \
      INTERRUPTED, BROKEN) \
    X(epoll_ctl, int, (int epfd, int operation, int fd, struct epoll_event *event), \
      (epfd, operation, fd, event), \
      NONE, (operation == EPOLL_CTL_ADD ? UNWATCHED : NONE))

struct fault {
    const char *name;
    atomic_int left, number, failed;
};

enum {
#define INDEX(name, type, parameters, arguments, passing, staying) INDEX_##name,
    CALLS(INDEX)
    COUNT
};

static struct fault faults[COUNT] = {
#define ENTRY(name, type, parameters, arguments, passing, staying) {#name, 0, 0, 0},
    CALLS(ENTRY)
};

static struct fault *find(const char *name)
{
    for (int index = 0; index < COUNT; index++)
        if (!strcmp(faults[index].name, name))
            return &faults[index];
    return NULL;
}

int fail_calls(const char *name, int number, int times)
{
    struct fault *fault = find(name);
    if (!fault)
        return -1;
    fault->number = number;
    fault->failed = 0;
    fault->left = times;
    return 0;
}

int calls_failed(const char *name)
{
    struct fault *fault = find(name);
    return fault ? fault->failed : -1;
}

static int fails(struct fault *fault)
{
    int left = fault->left;
    while (left > 0)
        if (atomic_compare_exchange_weak(&fault->left, &left, left - 1)) {
            fault->failed++;
            errno = fault->number;
            return 1;
        }
    return 0;
}

/* What by chance is known of a descriptor. */
struct watched {
    int made; /* by one of those three calls */
    int epfd; /* where it is watched, or 0 */
    struct epoll_event event;
};

enum { DESCRIPTORS = 4096 };
static struct watched watched[DESCRIPTORS];
static int one_in, staying_too;
static unsigned chance;

#define ERRORS(name, ...) static const int name[] = {__VA_ARGS__, 0}
static const int NONE[] = {0};
ERRORS(WAITING, EAGAIN);
ERRORS(INTERRUPTED, EINTR, EAGAIN);
ERRORS(UNACCEPTED, EINTR, EAGAIN, ECONNABORTED, EPROTO, EMFILE, ENFILE, ENOBUFS, ENOMEM);
ERRORS(REFUSED, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, ENOBUFS, ENOMEM);
ERRORS(BROKEN, EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM);
ERRORS(UNWATCHED, ENOSPC, ENOMEM);

void fail_by_chance(int one_in_so_many, unsigned seed, int staying)
{
    one_in = one_in_so_many;
    chance = (seed + 1) * 2654435761u;
    staying_too = staying;
}

static unsigned next(unsigned below)
{
    chance ^= chance << 13; /* Marsaglia's xorshift */
    chance ^= chance >> 17;
    chance ^= chance << 5;
    return (chance >> 8) % below;
}

static struct watched *known(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? &watched[fd] : NULL;
}

static int unlucky(struct fault *fault, int fd, const int *passing, const int *staying)
{
    struct watched *socket = known(fd);
    int few = 0, many = 0;
    int accepting = passing == UNACCEPTED; /* which happens seldom */
    if (!one_in || !socket || !socket->made || next(accepting ? (one_in + 3) / 4 : one_in))
        return 0;
    while (passing[few])
        few++;
    if (staying_too)
        while (staying[many])
            many++;
    if (!few && !many)
        return 0;
    /* What passes stays the rule, or nothing would ever be finished. */
    int number = few && (!many || next(10)) ? passing[next(few)] : staying[next(many)];
    if (number == EAGAIN && socket->epfd)
        epoll_ctl(socket->epfd, EPOLL_CTL_MOD, fd, &socket->event); /* never fails by chance */
    fault->failed++;
    errno = number;
    return 1;
}

/* Note what a call that has succeeded tells of descriptors. */
static void learn(int index, long result, int fd, int epfd, struct epoll_event *event)
{
    struct watched *socket = known(
        index == INDEX_socket || index == INDEX_accept || index == INDEX_accept4 ? (int)result : fd);
    if (!socket || result < 0)
        return;
    if (index == INDEX_epoll_ctl && event) {
        socket->epfd = epfd;
        socket->event = *event;
    } else if (index == INDEX_socket || index == INDEX_accept || index == INDEX_accept4)
        *socket = (struct watched){.made = 1};
}

int close(int fd)
{
    static int (*real)(int);
    struct watched *socket = known(fd);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "close");
    if (socket)
        socket->made = socket->epfd = 0;
    return real(fd);
}
/* What calls without such a parameter have in its place. */
static const int fd = -1, epfd = 0;
static struct epoll_event *const event = NULL;

#define WRAPPER(name, type, parameters, arguments, passing, staying) \
    type name parameters \
    { \
        static type(*real) parameters; \
        if (!real) \
            *(void **)&real = dlsym(RTLD_NEXT, #name); \
        struct fault *fault = &faults[INDEX_##name]; \
        if (fails(fault) || unlucky(fault, fd, passing, staying)) \
            return -1; \
        type result = real arguments; \
        learn(INDEX_##name, result, fd, epfd, event); \
        return result; \
    }
CALLS(WRAPPER)
