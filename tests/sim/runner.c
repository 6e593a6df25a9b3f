/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Runner
 */

#include "tests/sim/runner.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STUCK_SEC 30                    /* a seed that takes so much of a processor is stuck */
#define POLL_USEC 5000

/* What a worker shows while it works; shared memory. */
typedef struct Worker {
        Statistics statistics;
        uint64_t seed, next;
        uint64_t began_msec;            /* by its own processor clock: others may be at work on this machine */
        uint64_t hash;
        char failure[1024];
        bool running, done;
} Worker;

typedef struct Runner {
        const RunnerOptions *options;
        Worker *workers;
        pid_t pids[RUNNER_JOBS_MAX];
} Runner;

static uint64_t clock_msec(clockid_t clock) {
        struct timespec ts = { 0 };

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

uint64_t runner_clock_msec(void) {
        return clock_msec(CLOCK_MONOTONIC);
}

uint64_t runner_processor_msec(void) {
        struct rusage u;

        (void) getrusage(RUSAGE_CHILDREN, &u);
        return (uint64_t) (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
                (uint64_t) (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

bool runner_run_seed(uint64_t seed, SimProfile profile, Statistics *statistics, bool verbose, char *failure, size_t size,
                     uint64_t *ret_hash) {
        World *w = world_new(seed, profile, statistics, verbose);
        bool ok = world_run(w) && world_judge(w);

        if (!ok)
                (void) g_strlcpy(failure, w->failure, size);
        *ret_hash = w->trace_hash;
        world_free(w);
        return ok;
}

/* Every `jobs`th seed from w->next on, until one fails.  The next world takes the memory that the one before gave back. */
static void work(const RunnerOptions *o, Worker *w) {
        (void) mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
        (void) mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
        (void) mallopt(M_TOP_PAD, 4 * 1024 * 1024);
        while (w->next < o->first + o->seeds) {
                w->seed = w->next;
                w->next += o->jobs;
                w->began_msec = clock_msec(CLOCK_PROCESS_CPUTIME_ID);
                if (!runner_run_seed(w->seed, o->profile, &w->statistics, false, w->failure, sizeof(w->failure), &w->hash))
                        _exit(1);
                if (o->print_hashes)
                        printf("%" PRIu64 " %016" PRIx64 "\n", w->seed, w->hash);
        }
        fflush(stdout);
        w->done = true;
        _exit(0);
}

static void start_worker(Runner *r, unsigned i) {
        Worker *w = &r->workers[i];
        pid_t pid;

        fflush(stdout);
        w->failure[0] = '\0';
        w->began_msec = 0;
        pid = fork();
        if (pid == 0) {
                /* What an assertion says is told again by --replay. */
                if (!freopen("/dev/null", "w", stderr))
                        _exit(1);
                work(r->options, w);
        }
        if (pid < 0) {
                perror("fork");
                exit(EXIT_FAILURE);
        }
        r->pids[i] = pid;
        w->running = true;
}

static void tell(const RunnerOptions *o, const Worker *w, int status) {
        g_autofree char *died = NULL;

        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                died = g_strdup_printf("B1: stuck for %d seconds of processor time", STUCK_SEC);
        else if (WIFSIGNALED(status))
                died = g_strdup_printf("assertion: the process died of signal %d (%s)", WTERMSIG(status),
                                       strsignal(WTERMSIG(status)));
        o->failed(o->userdata, w->seed, died ?: w->failure);
}

static void kill_stuck(const Runner *r) {
        for (unsigned i = 0; i < r->options->jobs; i++) {
                clockid_t clock;

                if (r->workers[i].running && clock_getcpuclockid(r->pids[i], &clock) == 0 &&
                    clock_msec(clock) > r->workers[i].began_msec + STUCK_SEC * 1000)
                        (void) kill(r->pids[i], SIGKILL);
        }
}

static Worker *find_worker(const Runner *r, pid_t pid) {
        for (unsigned i = 0; i < r->options->jobs; i++)
                if (r->workers[i].running && r->pids[i] == pid)
                        return &r->workers[i];
        return NULL;
}

static void stop_all(const Runner *r) {
        for (unsigned i = 0; i < r->options->jobs; i++)
                if (r->workers[i].running) {
                        (void) kill(r->pids[i], SIGKILL);
                        (void) waitpid(r->pids[i], NULL, 0);
                        r->workers[i].running = false;
                }
}

static unsigned wait_for_all(Runner *r) {
        const RunnerOptions *o = r->options;
        unsigned running = o->jobs, failures = 0;

        while (running > 0) {
                int status;
                pid_t pid = waitpid(-1, &status, WNOHANG);
                Worker *w = pid > 0 ? find_worker(r, pid) : NULL;

                if (!w) {
                        (void) usleep(POLL_USEC);
                        kill_stuck(r);
                        continue;
                }
                w->running = false;
                running--;
                if (w->done)
                        continue;
                tell(o, w, status);
                if (++failures == o->failures_max) {
                        stop_all(r);
                        return failures;
                }
                start_worker(r, (unsigned) (w - r->workers));
                running++;
        }
        return failures;
}

unsigned runner_run(const RunnerOptions *options, Statistics *statistics) {
        size_t size = sizeof(Worker) * options->jobs;
        Runner r = { .options = options };
        unsigned failures;

        r.workers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (r.workers == MAP_FAILED) {
                perror("mmap");
                exit(EXIT_FAILURE);
        }
        for (unsigned i = 0; i < options->jobs; i++) {
                r.workers[i].next = options->first + i;
                start_worker(&r, i);
        }
        failures = wait_for_all(&r);
        for (unsigned i = 0; i < options->jobs; i++)
                statistics_add(statistics, &r.workers[i].statistics);
        (void) munmap(r.workers, size);
        return failures;
}
