/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Hold
 */

#include "dbus/ctl/hold.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dbus/ctl/link.h"
#include "dbus/ctl/output.h"

ExitStatus held_session_open(Ctl *c, const char *owner, const char *unit, uint64_t timeout_msec, HeldSession *ret) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const void *secret;
        size_t size;
        HeldSession s = {};

        call_begin_update(&call, "Sessions", "Open");
        call_append(&call, "s", owner);
        /* Open has its own options: "super" is none of them */
        call_append_session_options(&call, unit, timeout_msec);
        ExitStatus e = call_send(&call, unit, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", &s.id);
        if (r < 0)
                return bad_reply(r);
        r = sd_bus_message_read_array(reply, 'y', &secret, &size);
        if (r < 0)
                return bad_reply(r);
        r = sd_bus_message_read(reply, "u", &s.timeout_msec);
        if (r < 0)
                return bad_reply(r);

        s.secret = g_bytes_new(secret, size);
        *ret = s;
        return EXIT_STATUS_OK;
}

void held_session_close(Ctl *c, const HeldSession *s) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;

        if (!c->bus || sd_bus_is_open(c->bus) <= 0)
                return;

        call_begin(&call, "Sessions", "Close");
        call_append(&call, "ta{sv}", s->id, 0);
        /* whatever the answer, the session ends with the connection at the latest */
        c->hush = true;
        (void) call_try(&call, NULL, &reply, &status);
        c->hush = false;
}

void held_session_done(HeldSession *s) {
        g_clear_pointer(&s->secret, g_bytes_unref);
}

void hold_block_signals(sigset_t *ret_before) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, ret_before);
}

typedef struct Holding {
        Ctl *ctl;
        HeldSession *session;
        Link *link;
        pid_t pid;                      /* 0: no command, or ended */
        int command_status;
} Holding;

static ExitStatus on_established(void *userdata, bool again) {
        Holding *h = userdata;
        g_auto(Call) call = CALL_INIT(h->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;
        size_t size;
        const void *secret = g_bytes_get_data(h->session->secret, &size);

        if (!again)
                return EXIT_STATUS_OK;

        call_begin(&call, "Sessions", "Attach");
        call_append(&call, "t", h->session->id);
        call_append_bytes(&call, secret, size);
        call_append_session_options(&call, NULL, h->session->timeout_msec);
        ExitStatus e = call_try(&call, NULL, &reply, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (status == CONVENE_OK)
                return EXIT_STATUS_OK;
        if (status == CONVENE_NOT_READY || status == CONVENE_FATE_UNKNOWN)
                return EXIT_STATUS_UNREACHABLE;

        print_error("the session could not be kept: %s (%s)", convene_status_describe(status),
                    convene_status_to_string(status));
        return EXIT_STATUS_SESSION;
}

static ExitStatus on_signal_message(void *userdata, const char *interface, sd_bus_message *m) {
        Holding *h = userdata;
        uint64_t session;
        int expired;

        if (!sd_bus_message_is_signal(m, AGENT_NAME ".Sessions", "Ended"))
                return EXIT_STATUS_OK;

        int r = sd_bus_message_read(m, "tb", &session, &expired);
        if (r < 0)
                return bad_reply(r);
        if (session != h->session->id)
                return EXIT_STATUS_OK;

        print_error("the session has %s: the znode is gone (SessionExpired)", expired ? "expired" : "been closed");
        return EXIT_STATUS_SESSION;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata) {
        Holding *h = userdata;

        if (h->pid == 0)
                link_end(h->link, EXIT_STATUS_OK);
        else if (info->ssi_code == SI_USER)     /* a terminal has sent it to the command already */
                kill(h->pid, info->ssi_signo);
        return 0;
}

static int status_of(const siginfo_t *info) {
        return info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;
}

static int on_command_ended(sd_event_source *s, const siginfo_t *info, void *userdata) {
        Holding *h = userdata;

        h->pid = 0;
        h->command_status = status_of(info);
        link_end(h->link, EXIT_STATUS_OK);
        return 0;
}

static void run_command(char **command, const HeldSession *session, const char *path, pid_t parent)
        G_GNUC_NORETURN;
static void run_command(char **command, const HeldSession *session, const char *path, pid_t parent) {
        g_autofree char *id = g_strdup_printf("%016" PRIx64, session->id);
        sigset_t none;

        /* should we be killed, the command does not go on without its znode */
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
                _exit(EXIT_STATUS_FAILURE);

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setenv("CONVENE_PATH", path, true);
        setenv("CONVENE_SESSION", id, true);
        execvp(command[0], command);
        int error = errno;
        print_error("cannot run %s: %s", command[0], g_strerror(error));
        _exit(error == ENOENT ? 127 : 126);
}

static int set_up(Holding *h, char **command, const char *path) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        sd_event *event = link_get_event(h->link);

        for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
                int r = sd_event_add_signal(event, NULL, signals[i], on_signal, h);
                if (r < 0)
                        return r;
        }
        if (!command)
                return 0;

        pid_t self = getpid();
        pid_t pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                run_command(command, h->session, path, self);

        h->pid = pid;
        return sd_event_add_child(event, NULL, pid, WEXITED, on_command_ended, h);
}

static void end_command(Holding *h) {
        siginfo_t info = {};

        if (h->pid == 0)
                return;
        kill(h->pid, SIGTERM);
        while (waitid(P_PID, h->pid, &info, WEXITED) < 0 && errno == EINTR)
                ;
        h->pid = 0;
}

int hold(Ctl *c, HeldSession *session, const char *path, char **command) {
        Holding h = { .ctl = c, .session = session };
        LinkHandler handler = {
                .established = on_established,
                .signal = on_signal_message,
                .userdata = &h,
        };

        ExitStatus e = link_new(c, &handler, session->timeout_msec, &h.link);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = set_up(&h, command, path);
        if (r < 0) {
                print_error("cannot %s: %s", command ? "run the command" : "wait for signals", g_strerror(-r));
                e = EXIT_STATUS_FAILURE;
        } else {
                e = link_run(h.link);
                if (e == EXIT_STATUS_OK && command)
                        e = h.command_status;
                else if (e == EXIT_STATUS_UNREACHABLE)
                        e = EXIT_STATUS_SESSION;
        }

        end_command(&h);
        link_free(h.link);
        return e;
}
