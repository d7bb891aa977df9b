/* System calls that fail on demand, for a process into which this library is preloaded.
 *
 * fail_calls("accept4", ENFILE, 3) makes the next three calls of accept4() fail so; afterwards the
 * call is the system's again.  calls_failed("accept4") counts those that have failed since the last
 * fail_calls().  Both return -1 for a call that is not in the table below.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

/* name, type of the result, parameters, arguments */
#define CALLS(X) \
    X(socket, int, (int family, int type, int protocol), (family, type, protocol)) \
    X(bind, int, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length)) \
    X(listen, int, (int fd, int backlog), (fd, backlog)) \
    X(connect, int, (int fd, const struct sockaddr *address, socklen_t length), \
      (fd, address, length)) \
    X(accept, int, (int fd, struct sockaddr *address, socklen_t *length), (fd, address, length)) \
    X(accept4, int, (int fd, struct sockaddr *address, socklen_t *length, int flags), \
      (fd, address, length, flags)) \
    X(recv, ssize_t, (int fd, void *memory, size_t size, int flags), (fd, memory, size, flags)) \
    X(recvfrom, ssize_t, \
      (int fd, void *memory, size_t size, int flags, struct sockaddr *address, socklen_t *length), \
      (fd, memory, size, flags, address, length)) \
    X(recvmsg, ssize_t, (int fd, struct msghdr *message, int flags), (fd, message, flags)) \
    X(recvmmsg, int, \
      (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout), \
      (fd, messages, count, flags, timeout)) \
    X(send, ssize_t, (int fd, const void *memory, size_t size, int flags), \
      (fd, memory, size, flags)) \
    X(sendto, ssize_t, \
      (int fd, const void *memory, size_t size, int flags, const struct sockaddr *address, \
       socklen_t length), \
      (fd, memory, size, flags, address, length)) \
    X(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags), (fd, message, flags)) \
    X(epoll_ctl, int, (int epfd, int operation, int fd, struct epoll_event *event), \
      (epfd, operation, fd, event))

struct fault {
    const char *name;
    atomic_int left, number, failed;
};

enum {
#define INDEX(name, type, parameters, arguments) INDEX_##name,
    CALLS(INDEX)
    COUNT
};

static struct fault faults[COUNT] = {
#define ENTRY(name, type, parameters, arguments) {#name, 0, 0, 0},
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

#define WRAPPER(name, type, parameters, arguments) \
    type name parameters \
    { \
        static type(*real) parameters; \
        if (!real) \
            *(void **)&real = dlsym(RTLD_NEXT, #name); \
        return fails(&faults[INDEX_##name]) ? -1 : real arguments; \
    }
CALLS(WRAPPER)
