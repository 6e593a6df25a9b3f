/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Clock shim
 *
 * Preloaded into every process of a lab host: its wall clock is the real one plus an offset in nanoseconds, which stands
 * in a file that "lab clock" writes.  Absolute times handed to the kernel go the other way.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC INT64_C(1000000000)

/* A timer on another clock is never this near to the wall clock: hosts begin to count at boot. */
#define WALL_SEC_MIN 1000000000
#define WALL_SEC_MAX 4000000000

static const volatile int64_t *offset;

__attribute__((constructor)) static void map_offset(void) {
        int fd = syscall(SYS_openat, AT_FDCWD, "/var/lib/lab/clock", O_RDONLY | O_CLOEXEC, 0);
        void *p;

        if (fd < 0)
                return;

        p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        if (p != MAP_FAILED)
                offset = p;
}

static int64_t offset_nsec(void) {
        return offset ? __atomic_load_n(offset, __ATOMIC_RELAXED) : 0;
}

static void shift(struct timespec *t, int64_t by_nsec) {
        int64_t nsec = t->tv_nsec + by_nsec % NSEC_PER_SEC;

        t->tv_sec += by_nsec / NSEC_PER_SEC;
        if (nsec < 0) {
                nsec += NSEC_PER_SEC;
                t->tv_sec--;
        }
        if (nsec >= NSEC_PER_SEC) {
                nsec -= NSEC_PER_SEC;
                t->tv_sec++;
        }
        t->tv_nsec = nsec;
}

static int real_clock_gettime(clockid_t clock, struct timespec *t) {
        static int (*next)(clockid_t, struct timespec *);

        if (!next)
                next = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");

        return next ? next(clock, t) : (int) syscall(SYS_clock_gettime, clock, t);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
        int r = real_clock_gettime(clock, t);

        if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                shift(t, offset_nsec());
        return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
        struct timespec t;

        (void) tz;
        clock_gettime(CLOCK_REALTIME, &t);
        tv->tv_sec = t.tv_sec;
        tv->tv_usec = t.tv_nsec / 1000;
        return 0;
}

time_t time(time_t *p) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME_COARSE, &t);
        if (p)
                *p = t.tv_sec;
        return t.tv_sec;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
        struct itimerspec v = *value;

        if ((flags & TFD_TIMER_ABSTIME) && v.it_value.tv_sec > WALL_SEC_MIN && v.it_value.tv_sec < WALL_SEC_MAX)
                shift(&v.it_value, -offset_nsec());
        return syscall(SYS_timerfd_settime, fd, flags, &v, old);
}

int pthread_cond_timedwait(pthread_cond_t *restrict c, pthread_mutex_t *restrict m,
                           const struct timespec *restrict until) {
        static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
        struct timespec t = *until;

        if (!next)
                next = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))
                        dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        if (t.tv_sec > WALL_SEC_MIN)
                shift(&t, -offset_nsec());
        return next(c, m, &t);
}
