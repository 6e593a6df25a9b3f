/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A million znodes: resident memory, time from start to serving, and how long the event loop and a reader are kept
 * waiting while a checkpoint runs.
 *
 *     bench-million [ZNODES [CONVENED]]
 *
 * Talks only to an agent of its own on a socket in a directory of its own.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <systemd/sd-bus.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)

#define WINDOW 1000
#define PER_DIRECTORY 10000
#define DATA_BYTES 100
#define CALL_USEC (UINT64_C(120) * 1000000)

typedef struct Agent {
        pid_t pid;
        char *directory, *socket;
        sd_bus *bus;
} Agent;

typedef struct Load {
        sd_bus *bus;
        unsigned next, total, outstanding, failed;
} Load;

static const char *convened;

static double now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void check(int r, const char *what) {
        if (r >= 0)
                return;

        fprintf(stderr, "bench-million: %s: %s\n", what, strerror(-r));
        exit(1);
}

/* Returns seconds from exec to the line "ready". */
static double agent_start(Agent *a) {
        g_autofree char *data = g_build_filename(a->directory, "data", NULL);
        double begin = now();
        char line[512];
        int out[2];
        FILE *f;

        check(pipe(out) < 0 ? -errno : 0, "pipe");
        a->pid = fork();
        if (a->pid == 0) {
                dup2(out[1], STDOUT_FILENO);
                close(out[0]);
                execl(convened, convened, "--data", data, "--socket", a->socket, "--no-system-bus", "--print-ready",
                      "--config", "/dev/null", NULL);
                _exit(127);
        }
        close(out[1]);
        f = fdopen(out[0], "r");
        if (!fgets(line, sizeof(line), f) || !g_str_has_prefix(line, "ready")) {
                fprintf(stderr, "bench-million: the agent did not become ready\n");
                exit(1);
        }
        fclose(f);
        return now() - begin;
}

static void agent_connect(Agent *a) {
        g_autofree char *address = g_strdup_printf("unix:path=%s", a->socket);

        check(sd_bus_new(&a->bus), "sd_bus_new");
        check(sd_bus_set_address(a->bus, address), "address");
        check(sd_bus_start(a->bus), "connect");
}

static void agent_stop(Agent *a, int sig) {
        int status;

        a->bus = sd_bus_flush_close_unref(a->bus);
        kill(a->pid, sig);
        waitpid(a->pid, &status, 0);
}

static uint64_t memory_kib(const Agent *a, const char *field) {
        g_autofree char *path = g_strdup_printf("/proc/%d/status", (int) a->pid), *text = NULL;
        const char *at;

        if (!g_file_get_contents(path, &text, NULL, NULL) || !(at = strstr(text, field)))
                return 0;
        return g_ascii_strtoull(at + strlen(field), NULL, 10);
}

static uint64_t statistic(Agent *a, const char *name) {
        g_autoptr(sd_bus_message) reply = NULL;
        uint64_t value, found = 0;
        const char *key;

        check(sd_bus_call_method(a->bus, NULL, "/org/convene1", "org.convene1.Statistics", "Get", NULL, &reply, NULL),
              "Statistics.Get");
        check(sd_bus_message_enter_container(reply, 'a', "{st}"), "reply");
        while (sd_bus_message_read(reply, "{st}", &key, &value) > 0)
                if (g_str_equal(key, name))
                        found = value;
        return found;
}

static int on_created(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Load *l = userdata;

        l->outstanding--;
        if (sd_bus_message_is_method_error(m, NULL) && l->failed++ == 0)
                fprintf(stderr, "bench-million: %s\n", sd_bus_message_get_error(m)->message);
        return 0;
}

static void send_create(Load *l, const char *path, const void *data, size_t size) {
        g_autoptr(sd_bus_message) m = NULL;

        check(sd_bus_message_new_method_call(l->bus, &m, NULL, "/org/convene1", "org.convene1.Tree", "Create"), "message");
        check(sd_bus_message_append(m, "s", path), "append");
        check(sd_bus_message_append_array(m, 'y', data, size), "append");
        check(sd_bus_message_append(m, "sa{sv}", "persistent", 1, "acl", "a(uss)", 1, 31, "world", "anyone"), "append");
        check(sd_bus_call_async(l->bus, NULL, m, on_created, l, CALL_USEC), "call");
        l->outstanding++;
}

static void drain(Load *l, unsigned down_to) {
        while (l->outstanding > down_to) {
                int r = sd_bus_process(l->bus, NULL);

                check(r, "process");
                if (r == 0)
                        check(sd_bus_wait(l->bus, UINT64_MAX), "wait");
        }
}

static double fill(Agent *a, unsigned total) {
        Load l = { .bus = a->bus, .total = total };
        char data[DATA_BYTES], path[64];
        double begin = now();

        memset(data, 'x', sizeof(data));
        for (unsigned n = 0; n < total; n++) {
                if (n % PER_DIRECTORY == 0) {
                        snprintf(path, sizeof(path), "/d%06u", n / PER_DIRECTORY);
                        send_create(&l, path, "", 0);
                }
                snprintf(path, sizeof(path), "/d%06u/n%08u", n / PER_DIRECTORY, n);
                send_create(&l, path, data, sizeof(data));
                drain(&l, WINDOW);
        }
        drain(&l, 0);
        check(l.failed ? -EIO : 0, "creating znodes");
        return now() - begin;
}

static int on_checkpoint(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        *(int *) userdata = sd_bus_message_is_method_error(m, NULL) ? -1 : 1;
        return 0;
}

/* Reads one znode over and over while a checkpoint runs; returns the slowest answer, seconds. */
static double read_during_checkpoint(Agent *a, unsigned *ret_reads, double *ret_seconds) {
        Agent reader = *a;
        double worst = 0, begin = now();
        int done = 0;

        agent_connect(&reader);
        check(sd_bus_call_method_async(a->bus, NULL, NULL, "/org/convene1", "org.convene1.Agent", "Checkpoint",
                                       on_checkpoint, &done, NULL), "Checkpoint");
        check(sd_bus_flush(a->bus), "flush");
        *ret_reads = 0;
        while (done == 0) {
                g_autoptr(sd_bus_message) reply = NULL;
                double t = now();

                check(sd_bus_call_method(reader.bus, NULL, "/org/convene1", "org.convene1.Tree", "Get", NULL, &reply,
                                         "sa{sv}", "/d000000/n00000001", 0), "Get");
                worst = MAX(worst, now() - t);
                (*ret_reads)++;
                check(sd_bus_process(a->bus, NULL), "process");
        }
        check(done < 0 ? -EIO : 0, "checkpoint");
        *ret_seconds = now() - begin;
        sd_bus_flush_close_unref(reader.bus);
        return worst;
}

static void print_memory(const Agent *a, const char *when) {
        printf("resident %-28s %8.1f MB  (anonymous %.1f MB, file-backed %.1f MB)\n", when,
               memory_kib(a, "VmRSS:") / 1024.0, memory_kib(a, "RssAnon:") / 1024.0, memory_kib(a, "RssFile:") / 1024.0);
}

int main(int argc, char *argv[]) {
        unsigned total = argc > 1 ? atoi(argv[1]) : 1000000, reads;
        char template[] = "/var/tmp/bench-million-XXXXXX";
        g_autofree char *remove = NULL;
        double seconds, worst;
        Agent a = { 0 };

        if (total < 2) {
                fprintf(stderr, "usage: bench-million [ZNODES [CONVENED]]\n");
                return 2;
        }
        convened = argc > 2 ? argv[2] : CONVENED;
        a.directory = mkdtemp(template);
        check(a.directory ? 0 : -errno, "mkdtemp");
        a.socket = g_build_filename(a.directory, "bus", NULL);

        agent_start(&a);
        agent_connect(&a);
        seconds = fill(&a, total);
        printf("created %u znodes of %u bytes in %.1f s, window %u: %.0f per second, each durable before its answer\n", total,
               DATA_BYTES, seconds, WINDOW, total / seconds);
        printf("longest turn of the event loop while filling, checkpoints included: %.1f ms\n",
               statistic(&a, "loop_turn_max_usec") / 1000.0);
        print_memory(&a, "after filling");

        agent_stop(&a, SIGTERM);
        seconds = agent_start(&a);
        printf("start to serving, last checkpoint and log behind it: %.2f s\n", seconds);
        agent_connect(&a);
        worst = read_during_checkpoint(&a, &reads, &seconds);
        printf("checkpoint: %.2f s; slowest of %u reads meanwhile %.1f ms; longest turn of the event loop %.1f ms\n", seconds,
               reads, worst * 1000, statistic(&a, "loop_turn_max_usec") / 1000.0);

        agent_stop(&a, SIGKILL);
        seconds = agent_start(&a);
        printf("start to serving after kill -9, everything in the checkpoint: %.2f s\n", seconds);
        agent_connect(&a);
        print_memory(&a, "after that start");
        agent_stop(&a, SIGTERM);

        remove = g_strdup_printf("rm -rf '%s'", a.directory);
        return g_getenv("KEEP") || system(remove) == 0 ? 0 : 1;
}
