/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Fd store: what is told to the service manager, and what is made of what it hands over. */

#include "agent/host/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#define FIRST_FD 3

/* The service manager's end of $NOTIFY_SOCKET. */
typedef struct Manager {
        int fd;
} Manager;

static void set_up(Manager *m, gconstpointer unused) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        socklen_t size = sizeof address;
        g_autofree char *name = NULL;

        m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(m->fd, >=, 0);
        /* Without a name the kernel makes one up in the abstract namespace. */
        g_assert_cmpint(bind(m->fd, (struct sockaddr *) &address, sizeof address.sun_family), ==, 0);
        g_assert_cmpint(getsockname(m->fd, (struct sockaddr *) &address, &size), ==, 0);
        name = g_strdup_printf("@%.*s", (int) (size - offsetof(struct sockaddr_un, sun_path) - 1), address.sun_path + 1);
        g_setenv("NOTIFY_SOCKET", name, true);
}

static void tear_down(Manager *m, gconstpointer unused) {
        g_unsetenv("NOTIFY_SOCKET");
        close(m->fd);
}

/* The next message, or "" if there is none.  It has arrived when the sender's call returns.  */
static char *receive(Manager *m, int *ret_fd) {
        char text[512], control[CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct iovec vector = { text, sizeof text };
        struct msghdr h = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                            .msg_controllen = sizeof control };
        ssize_t n = recvmsg(m->fd, &h, MSG_CMSG_CLOEXEC);

        *ret_fd = -1;
        if (n < 0) {
                g_assert_cmpint(errno, ==, EAGAIN);
                return g_strdup("");
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
                        g_assert_cmpuint(c->cmsg_len, ==, CMSG_LEN(sizeof(int)));
                        memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
                }
        return g_strndup(text, (size_t) n);
}

static void expect(Manager *m, const char *wanted) {
        g_autofree char *text = NULL;
        int fd;

        text = receive(m, &fd);
        g_assert_cmpstr(text, ==, wanted);
        g_assert_cmpint(fd, ==, -1);
}

static bool same_file(int a, int b) {
        struct stat x, y;

        g_assert_cmpint(fstat(a, &x), ==, 0);
        g_assert_cmpint(fstat(b, &y), ==, 0);
        return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_open(int fd) {
        return fcntl(fd, F_GETFD) >= 0;
}

static void test_push(Manager *m, gconstpointer unused) {
        FdStore *s = fd_store_new();
        g_autofree char *text = NULL;
        int pair[2], fd;

        g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
        g_assert_cmpint(fd_store_push(s, UINT64_C(0x100000002), 0, pair[0]), ==, 0);
        text = receive(m, &fd);
        g_assert_cmpstr(text, ==, "FDSTORE=1\nFDNAME=convene-0000000100000002");
        g_assert_cmpint(fd, >=, 0);
        g_assert_true(same_file(fd, pair[0]));          /* a copy: ours stays ours */

        fd_store_remove(s, UINT64_MAX);
        expect(m, "FDSTOREREMOVE=1\nFDNAME=convene-ffffffffffffffff");
        g_assert_cmpint(fd_store_push(s, 3, UINT32_MAX, pair[0]), ==, 0);
        close(fd);
        g_free(text);
        text = receive(m, &fd);
        g_assert_cmpstr(text, ==, "FDSTORE=1\nFDNAME=convene-0000000000000003-4294967295");
        fd_store_remove(s, 3);
        expect(m, "FDSTOREREMOVE=1\nFDNAME=convene-0000000000000003-4294967295");
        fd_store_drop_rest(s);
        expect(m, "");
        fd_store_free(s);
        close(fd);
        close(pair[0]);
        close(pair[1]);
}

/* Not started by a service manager: nothing is kept, and nothing fails. */
static void test_no_manager(void) {
        FdStore *s;

        g_unsetenv("NOTIFY_SOCKET");
        s = fd_store_new();
        g_assert_cmpint(fd_store_push(s, 1, 0, STDERR_FILENO), ==, 0);
        fd_store_remove(s, 1);
        g_assert_cmpint(fd_store_take(s, 1), ==, -ENOENT);
        g_assert_cmpint(fd_store_take_socket(s, "bus"), ==, -ENOENT);
        fd_store_drop_rest(s);
        fd_store_free(s);
        g_assert_true(is_open(STDERR_FILENO));
}

/* The manager is not there to take it: the caller must know. */
static void test_manager_gone(void) {
        FdStore *s = fd_store_new();

        g_setenv("NOTIFY_SOCKET", "/nonexistent/notify", true);
        g_assert_cmpint(fd_store_push(s, 1, 0, STDERR_FILENO), <, 0);
        fd_store_remove(s, 1);
        g_unsetenv("NOTIFY_SOCKET");
        fd_store_free(s);
}

/*
 * What a start hands over.  A child of its own for each, because that is what has descriptors at 3 and LISTEN_PID.
 */

static int listening_socket(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(bind(fd, (struct sockaddr *) &address, sizeof address.sun_family), ==, 0);
        g_assert_cmpint(listen(fd, 1), ==, 0);
        return fd;
}

static int pipe_end(void) {
        int pair[2];

        g_assert_cmpint(pipe(pair), ==, 0);
        close(pair[1]);
        return pair[0];
}

static int connected_socket(void) {
        int pair[2];

        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
        close(pair[1]);
        return pair[0];
}

/* Puts them at 3, 4, ...; `others` stays open above them. */
static void place(const int *fds, unsigned count, int *others) {
        int high[16];

        g_assert_cmpuint(count, <=, G_N_ELEMENTS(high));
        for (unsigned i = 0; i < count; i++)
                g_assert_cmpint(high[i] = fcntl(fds[i], F_DUPFD, 100), >=, 100);
        if (others)
                g_assert_cmpint(*others = fcntl(*others, F_DUPFD, 100), >=, 100);
        for (unsigned i = 0; i < count; i++) {
                g_assert_cmpint(dup2(high[i], FIRST_FD + i), ==, FIRST_FD + (int) i);
                close(high[i]);
        }
}

static void announce(pid_t pid, unsigned count, const char *names) {
        g_autofree char *p = g_strdup_printf("%d", (int) pid), *n = g_strdup_printf("%u", count);

        g_setenv("LISTEN_PID", p, true);
        g_setenv("LISTEN_FDS", n, true);
        if (names)
                g_setenv("LISTEN_FDNAMES", names, true);
        else
                g_unsetenv("LISTEN_FDNAMES");
}

/* In a child: an assertion that fails there fails the test here. */
static void in_child(void (*body)(Manager *m), Manager *m) {
        pid_t pid = fork();
        int status;

        g_assert_cmpint(pid, >=, 0);
        if (pid == 0) {
                body(m);
                _exit(EXIT_SUCCESS);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

static void child_inherits(Manager *m) {
        static const char names[] = "convene-000000000000000a:bus:convene-ffffffffffffffff:zookeeper:convene-000000000000000b";
        const int fds[] = { pipe_end(), listening_socket(), pipe_end(), listening_socket(), pipe_end() };
        struct stat before[5], after;
        FdStore *s;
        int fd;

        place(fds, 5, &m->fd);
        for (int i = 0; i < 5; i++)
                g_assert_cmpint(fstat(FIRST_FD + i, &before[i]), ==, 0);
        announce(getpid(), 5, names);
        s = fd_store_new();
        g_assert_null(g_getenv("LISTEN_FDS"));          /* nobody's children take them for theirs */
        g_assert_null(g_getenv("LISTEN_FDNAMES"));
        for (int i = 0; i < 5; i++)
                g_assert_cmpint(fcntl(FIRST_FD + i, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);

        /* Each once, and neither kind by the other's name. */
        fd = fd_store_take(s, UINT64_MAX);
        g_assert_cmpint(fstat(fd, &after), ==, 0);
        g_assert_true(after.st_ino == before[2].st_ino);
        g_assert_cmpint(fd_store_take(s, UINT64_MAX), ==, -ENOENT);
        g_assert_cmpint(fd_store_take(s, 0), ==, -ENOENT);
        g_assert_cmpint(fd_store_take(s, 12), ==, -ENOENT);
        g_assert_cmpint(fd_store_take_socket(s, "convene-000000000000000a"), ==, -ENOENT);
        fd = fd_store_take_socket(s, "zookeeper");
        g_assert_cmpint(fstat(fd, &after), ==, 0);
        g_assert_true(after.st_ino == before[3].st_ino);
        g_assert_cmpint(fd_store_take_socket(s, "zookeeper"), ==, -ENOENT);
        expect(m, "");

        /* Sessions nobody claimed go, from here and from the manager; sockets wait on. */
        fd_store_drop_rest(s);
        expect(m, "FDSTOREREMOVE=1\nFDNAME=convene-000000000000000b");
        expect(m, "FDSTOREREMOVE=1\nFDNAME=convene-000000000000000a");
        expect(m, "");
        g_assert_false(is_open(FIRST_FD));
        g_assert_true(is_open(FIRST_FD + 1) && is_open(FIRST_FD + 2) && is_open(FIRST_FD + 3));
        g_assert_false(is_open(FIRST_FD + 4));
        g_assert_cmpint(fd_store_take(s, 10), ==, -ENOENT);
        fd_store_drop_rest(s);
        expect(m, "");

        /* What was taken is the taker's. */
        fd_store_free(s);
        g_assert_false(is_open(FIRST_FD + 1));
        g_assert_true(is_open(FIRST_FD + 2) && is_open(FIRST_FD + 3));
}

/* Not names of ours, or not what we store: closed, and the manager need not keep it either. */
static void child_refuses(Manager *m) {
        static const char *const names[] = { "convene-0000000000000000", "convene-000000000000000A", "convene-1",
                                             "convene-00000000000000001", "convene-0000000000000001-0",
                                             "convene-0000000000000001-4294967296", "convene-0000000000000001x",
                                             "Convene-0000000000000001", "stored", "bus", NULL };
        const unsigned count = G_N_ELEMENTS(names) - 1;
        g_autofree char *text = g_strjoinv(":", (char **) names);
        int fds[G_N_ELEMENTS(names)];
        FdStore *s;

        for (unsigned i = 0; i < count; i++)
                fds[i] = i == count - 1 ? connected_socket() : pipe_end();
        place(fds, count, &m->fd);
        announce(getpid(), count, text);
        s = fd_store_new();
        for (unsigned i = 0; i < count; i++) {
                g_autofree char *wanted = g_strdup_printf("FDSTOREREMOVE=1\nFDNAME=%s", names[i]);

                expect(m, wanted);
                g_assert_false(is_open(FIRST_FD + (int) i));
        }
        expect(m, "");
        for (uint64_t session = 0; session < 20; session++)
                g_assert_cmpint(fd_store_take(s, session), ==, -ENOENT);
        g_assert_cmpint(fd_store_take_socket(s, "bus"), ==, -ENOENT);
        fd_store_free(s);
}

/* Sockets without names. */
static void child_unnamed(Manager *m) {
        const int fds[] = { listening_socket(), listening_socket() };
        FdStore *s;

        place(fds, 2, &m->fd);
        announce(getpid(), 2, NULL);
        s = fd_store_new();
        g_assert_cmpint(fd_store_take_socket(s, "bus"), ==, -ENOENT);
        g_assert_cmpint(fd_store_take_socket(s, "unknown"), ==, FIRST_FD);      /* systemd's word for it */
        g_assert_cmpint(fd_store_take_socket(s, "unknown"), ==, FIRST_FD + 1);
        fd_store_free(s);
        g_assert_true(is_open(FIRST_FD) && is_open(FIRST_FD + 1));
        expect(m, "");
}

static void child_other_process(Manager *m) {
        const int fds[] = { pipe_end(), listening_socket() };
        FdStore *s;

        place(fds, 2, &m->fd);
        announce(getppid(), 2, "convene-000000000000000a:bus");
        s = fd_store_new();
        g_assert_cmpint(fd_store_take(s, 10), ==, -ENOENT);
        g_assert_cmpint(fd_store_take_socket(s, "bus"), ==, -ENOENT);
        fd_store_drop_rest(s);
        fd_store_free(s);
        g_assert_true(is_open(FIRST_FD) && is_open(FIRST_FD + 1));
        expect(m, "");
}

static void test_child(Manager *m, gconstpointer body) {
        in_child((void (*)(Manager *m)) body, m);
}

int main(int argc, char *argv[]) {
        static const struct {
                const char *path;
                void (*body)(Manager *m);
        } children[] = {
                { "/fdstore/inherits", child_inherits },
                { "/fdstore/refuses", child_refuses },
                { "/fdstore/unnamed", child_unnamed },
                { "/fdstore/other-process", child_other_process },
        };

        g_test_init(&argc, &argv, NULL);
        g_test_add("/fdstore/push", Manager, NULL, set_up, test_push, tear_down);
        g_test_add_func("/fdstore/no-manager", test_no_manager);
        g_test_add_func("/fdstore/manager-gone", test_manager_gone);
        for (size_t i = 0; i < G_N_ELEMENTS(children); i++)
                g_test_add(children[i].path, Manager, (gconstpointer) children[i].body, set_up, test_child, tear_down);
        return g_test_run();
}
