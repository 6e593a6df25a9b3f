/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Guard
 */

#include "dbus/ctl/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dbus/ctl/clock.h"
#include "dbus/ctl/descendants.h"
#include "dbus/ctl/hold.h"
#include "dbus/ctl/link.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/promise.h"

typedef struct Guard {
        Granted *granted;
        sd_event *event;
        pid_t pid;
        Promise *promise;
        bool lost;
        uint64_t kill_at_usec;          /* then */
        int status;
} Guard;

void granted_done(Granted *g) {
        if (g->fd >= 0)
                close(g->fd);
        g_free(g->path);
        g_free(g->address);
        g_clear_pointer(&g->input, g_bytes_unref);
}

/* A terminal has sent it to the command already; but that it has hung up it tells the leader of the session alone. */
static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata) {
        Guard *g = userdata;

        if (info->ssi_code == SI_USER || (info->ssi_signo == SIGHUP && getsid(0) == getpid()))
                kill(g->pid, info->ssi_signo);
        return 0;
}

static int on_command_ended(sd_event_source *s, const siginfo_t *info, void *userdata) {
        Guard *g = userdata;

        g->status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
        return sd_event_exit(g->event, 0);
}

/* What follows is not for the event loop: it ends with the grant. */
static void lose(Guard *g, uint64_t kill_after_usec, const char *why) {
        g->lost = true;
        g->kill_at_usec = now_usec(CLOCK_BOOTTIME) + kill_after_usec;
        print_error("%s is lost%s: the command is ended (NotHeld)", g->granted->path, why);
        descendants_signal(g->pid, SIGTERM);
        (void) sd_event_exit(g->event, 0);
}

static int on_lost(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        Guard *g = userdata;

        lose(g, (uint64_t) g->granted->grace_msec * 1000 / 2, "");
        return 0;
}

/* Three eighths of the grace later than it would have hung up, so that SIGKILL is due in another quarter. */
static void on_promise_ended(void *userdata) {
        Guard *g = userdata;

        lose(g, (uint64_t) g->granted->grace_msec * 1000 / 4, ", for the agent does not answer");
}

/* Whoever was stopped for a while need not begin. */
static bool is_lost(const Granted *granted) {
        struct pollfd p = { .fd = granted->fd };

        return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR));
}

/* A file without a name, so that no reader is waited for. */
static int open_input(GBytes *input) {
        size_t size, at = 0;
        const uint8_t *data = g_bytes_get_data(input, &size);
        int fd = memfd_create("input", MFD_CLOEXEC);

        while (fd >= 0 && at < size) {
                ssize_t n = write(fd, data + at, size - at);

                if (n < 0)
                        return -1;
                at += (size_t) n;
        }
        return fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

static void run_command(char **command, const Granted *granted, pid_t parent) G_GNUC_NORETURN;
static void run_command(char **command, const Granted *granted, pid_t parent) {
        g_autofree char *token = g_strdup_printf("%" PRIu64, granted->token);
        sigset_t none;

        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_STATUS_FAILURE);

        if (granted->input && dup2(open_input(granted->input), STDIN_FILENO) < 0) {
                print_error("cannot give the command its input: %s", g_strerror(errno));
                _exit(126);
        }
        (void) fcntl(granted->fd, F_SETFD, 0);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setenv("CONVENE_TOKEN", token, true);
        setenv("CONVENE_PATH", granted->path, true);
        execvp(command[0], command);
        int error = errno;
        print_error("cannot run %s: %s", command[0], g_strerror(error));
        _exit(error == ENOENT ? 127 : 126);
}

static int set_up(Guard *g, char **command) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

        for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
                int r = sd_event_add_signal(g->event, NULL, signals[i], on_signal, g);
                if (r < 0)
                        return r;
        }
        /* a hang-up is always told */
        int r = sd_event_add_io(g->event, NULL, g->granted->fd, 0, on_lost, g);
        if (r < 0)
                return r;

        pid_t self = getpid();
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_command(command, g->granted, self);

        g->pid = pid;
        return sd_event_add_child(g->event, NULL, pid, WEXITED, on_command_ended, g);
}

int guard_and_keep(Granted *granted, char **command) {
        g_autoptr(sd_event) event = NULL;
        Guard g = { .granted = granted };
        sigset_t before;

        if (is_lost(granted)) {
                print_error("%s is lost: the command is not begun (NotHeld)", granted->path);
                return EXIT_STATUS_SESSION;
        }
        hold_block_signals(&before);
        int r = sd_event_new(&event);
        g.event = event;
        if (r >= 0)
                r = descendants_keep();
        if (r >= 0)
                r = set_up(&g, command);
        if (r >= 0) {
                g.promise = promise_new(event, granted->address, granted->path, granted->grace_msec, on_promise_ended, &g);
                r = sd_event_loop(event);
        }
        promise_free(g.promise);
        if (r >= 0 && g.lost)
                descendants_end(g.pid, g.kill_at_usec);
        (void) sigprocmask(SIG_SETMASK, &before, NULL);         /* for what the caller has to wait for yet */
        if (r < 0) {
                print_error("cannot run the command: %s", g_strerror(-r));
                if (g.pid > 0) {
                        kill(g.pid, SIGKILL);
                        (void) waitpid(g.pid, NULL, 0);
                }
                return EXIT_STATUS_FAILURE;
        }
        return g.lost ? EXIT_STATUS_SESSION : g.status;
}

int guard(Granted *granted, char **command) {
        int status = guard_and_keep(granted, command);

        /* what the command has left running does not keep it */
        (void) shutdown(granted->fd, SHUT_RDWR);
        return status;
}
