/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Units: jobs
 *
 * StartUnit and StopUnit return when the job is queued; that it is over is told by the signal JobRemoved.  The match for it is
 * added first, so that the signal cannot come before the answer that names the job.
 */

#include "agent/host/units-internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SYSTEMD_JOB "org.freedesktop.systemd1.Job"
#define PATIENCE_USEC (UINT64_C(60) * 1000 * 1000)

struct UnitJob {
        Units *units;
        UnitJob *next, *previous;
        sd_bus_slot *match, *slot;      /* JobRemoved; the call under way */
        sd_event_source *timer;         /* the end of patience, or an end that waits for the event loop */
        int error;                      /* what the timer will say */
        char *path;                     /* of the job, once it is known */
        GPtrArray *over;                /* paths and results of jobs that were over before that */
        UnitJobDone done;
        void *userdata;
};

UnitJob *unit_job_cancel(UnitJob *j) {
        if (!j)
                return NULL;
        if (j->previous)
                j->previous->next = j->next;
        else
                j->units->jobs = j->next;
        if (j->next)
                j->next->previous = j->previous;
        sd_bus_slot_unref(j->match);
        sd_bus_slot_unref(j->slot);
        sd_event_source_disable_unref(j->timer);
        g_ptr_array_unref(j->over);
        g_free(j->path);
        g_free(j);
        return NULL;
}

/* The job is forgotten first, so that its owner may do what it likes in the callback. */
static void job_finish(UnitJob *j, int error, const char *result) {
        UnitJobDone done = j->done;
        void *userdata = j->userdata;

        unit_job_cancel(j);
        done(userdata, error, result);
}

static int job_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        UnitJob *j = userdata;

        job_finish(j, j->error, NULL);
        return 0;
}

static void job_finish_later(UnitJob *j, int error) {
        j->match = sd_bus_slot_unref(j->match);
        j->slot = sd_bus_slot_unref(j->slot);
        j->error = error;
        (void) sd_event_source_set_time(j->timer, 0);
}

void units_fail_jobs(Units *u) {
        for (UnitJob *j = u->jobs; j; j = j->next)
                job_finish_later(j, -ENOTCONN);
}

static int job_on_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *path, *result;

        if (!units_believes(j->units, m) || sd_bus_message_read(m, "uoss", NULL, &path, NULL, &result) <= 0)
                return 0;
        if (!j->path) {
                g_ptr_array_add(j->over, g_strdup(path));
                g_ptr_array_add(j->over, g_strdup(result));
        } else if (g_str_equal(path, j->path)) {
                g_autofree char *copy = g_strdup(result);       /* the message goes with the match */

                job_finish(j, 0, copy);
        }
        return 0;
}

static int job_on_queued(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *path;

        j->slot = sd_bus_slot_unref(j->slot);
        if (sd_bus_message_is_method_error(m, NULL)) {
                job_finish(j, -MAX(sd_bus_message_get_errno(m), 1), NULL);
                return 0;
        }
        if (sd_bus_message_read(m, "o", &path) <= 0) {
                job_finish(j, -EBADMSG, NULL);
                return 0;
        }
        for (guint i = 0; i < j->over->len; i += 2)
                if (g_str_equal(j->over->pdata[i], path)) {
                        g_autofree char *result = g_strdup(j->over->pdata[i + 1]);

                        job_finish(j, 0, result);
                        return 0;
                }
        j->path = g_strdup(path);
        return 0;
}

static UnitJob *job_new(Units *u, UnitJobDone done, void *userdata) {
        UnitJob *j = g_new0(UnitJob, 1);
        int r;

        assert(u);
        assert(done);

        j->units = u;
        j->over = g_ptr_array_new_with_free_func(g_free);
        j->error = -ETIMEDOUT;
        j->done = done;
        j->userdata = userdata;
        j->next = u->jobs;
        if (j->next)
                j->next->previous = j;
        u->jobs = j;
        r = sd_event_add_time_relative(u->event, &j->timer, CLOCK_MONOTONIC, PATIENCE_USEC, 0, job_on_timer, j);
        assert(r >= 0);                 /* only memory can lack */
        return j;
}

static UnitJob *job_queue(Units *u, const char *member, const char *unit, UnitJobDone done, void *userdata) {
        UnitJob *j = job_new(u, done, userdata);
        /* Of any unit: sd-bus does not find an argument behind one that is no string. */
        static const char match[] = "type='signal',sender='" SYSTEMD_NAME "',path='" SYSTEMD_OBJECT "',"
                                    "interface='" SYSTEMD_MANAGER "',member='JobRemoved'";
        sd_bus_message *m;
        int r;

        r = units_message_new(u, SYSTEMD_OBJECT, SYSTEMD_MANAGER, member, &m);
        if (r >= 0) {
                r = sd_bus_add_match_async(u->bus, &j->match, match, job_on_removed, NULL, j);
                r = units_message_send(u, m, r < 0 ? r : sd_bus_message_append(m, "ss", unit, "replace"), &j->slot,
                                       job_on_queued, j);
        }
        if (r < 0)
                job_finish_later(j, r);
        return j;
}

UnitJob *units_start(Units *u, const char *unit, UnitJobDone done, void *userdata) {
        return job_queue(u, "StartUnit", unit, done, userdata);
}

UnitJob *units_stop(Units *u, const char *unit, UnitJobDone done, void *userdata) {
        return job_queue(u, "StopUnit", unit, done, userdata);
}

/*
 * What kind of job is under way
 */

static int type_ask(UnitJob *j, const char *path, const char *interface, const char *property, sd_bus_message_handler_t callback) {
        sd_bus_message *m;
        int r;

        j->slot = sd_bus_slot_unref(j->slot);
        r = units_message_new(j->units, path, "org.freedesktop.DBus.Properties", "Get", &m);
        if (r < 0)
                return r;
        return units_message_send(j->units, m, sd_bus_message_append(m, "ss", interface, property), &j->slot, callback, j);
}

static int type_on_type(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *type;

        if (sd_bus_message_is_method_error(m, NULL))
                job_finish(j, 0, "");           /* it is over this moment */
        else if (sd_bus_message_read(m, "v", "s", &type) <= 0)
                job_finish(j, -EBADMSG, NULL);
        else {
                g_autofree char *copy = g_strdup(type);

                job_finish(j, 0, copy);
        }
        return 0;
}

static int type_on_job(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *path;
        uint32_t id;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                r = -MAX(sd_bus_message_get_errno(m), 1);
        else {
                r = sd_bus_message_read(m, "v", "(uo)", &id, &path);
                if (r > 0 && id == 0) {
                        job_finish(j, 0, "");
                        return 0;
                }
                r = r > 0 ? type_ask(j, path, SYSTEMD_JOB, "JobType", type_on_type) : -EBADMSG;
        }
        if (r < 0)
                job_finish(j, r, NULL);
        return 0;
}

static int type_on_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *path;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                r = -MAX(sd_bus_message_get_errno(m), 1);
        else {
                r = sd_bus_message_read(m, "o", &path);
                r = r > 0 ? type_ask(j, path, SYSTEMD_UNIT, "Job", type_on_job) : -EBADMSG;
        }
        if (r < 0)
                job_finish(j, r, NULL);
        return 0;
}

UnitJob *units_ask_job_type(Units *u, const char *unit, UnitJobDone done, void *userdata) {
        UnitJob *j = job_new(u, done, userdata);
        sd_bus_message *m;
        int r;

        r = units_message_new(u, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "GetUnit", &m);
        if (r >= 0)
                r = units_message_send(u, m, sd_bus_message_append(m, "s", unit), &j->slot, type_on_unit, j);
        if (r < 0)
                job_finish_later(j, r);
        return j;
}

UnitJob *units_ask_type_of(Units *u, const char *job, UnitJobDone done, void *userdata) {
        UnitJob *j = job_new(u, done, userdata);
        int r = type_ask(j, job, SYSTEMD_JOB, "JobType", type_on_type);

        if (r < 0)
                job_finish_later(j, r);
        return j;
}

/*
 * How long a stop may take
 */

static int timeout_on_value(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        uint64_t usec;

        if (sd_bus_message_is_method_error(m, NULL))
                job_finish(j, -MAX(sd_bus_message_get_errno(m), 1), NULL);
        else if (sd_bus_message_read(m, "v", "t", &usec) <= 0)
                job_finish(j, -EBADMSG, NULL);
        else {
                g_autofree char *text = g_strdup_printf("%" PRIu64, usec);

                job_finish(j, 0, text);
        }
        return 0;
}

/* The path is "/.../unit/" and the escaped name. */
static int timeout_on_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitJob *j = userdata;
        const char *path;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                r = -MAX(sd_bus_message_get_errno(m), 1);
        else if (sd_bus_message_read(m, "o", &path) <= 0)
                r = -EBADMSG;
        else if (g_str_has_suffix(path, "_2eservice"))
                r = type_ask(j, path, SYSTEMD_NAME ".Service", "TimeoutStopUSec", timeout_on_value);
        else if (g_str_has_suffix(path, "_2esocket"))
                r = type_ask(j, path, SYSTEMD_NAME ".Socket", "TimeoutUSec", timeout_on_value);
        else {
                job_finish(j, 0, "");
                return 0;
        }
        if (r < 0)
                job_finish(j, r, NULL);
        return 0;
}

UnitJob *units_ask_stop_timeout(Units *u, const char *unit, UnitJobDone done, void *userdata) {
        UnitJob *j = job_new(u, done, userdata);
        sd_bus_message *m;
        int r;

        r = units_message_new(u, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "LoadUnit", &m);
        if (r >= 0)
                r = units_message_send(u, m, sd_bus_message_append(m, "s", unit), &j->slot, timeout_on_unit, j);
        if (r < 0)
                job_finish_later(j, r);
        return j;
}

/*
 * Whatever is queued
 */

static int on_queued(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        const char *unit, *job;

        if (units_believes(u, m) && sd_bus_message_read(m, "uos", NULL, &job, &unit) > 0)
                u->queued(u->queued_userdata, unit, job);
        return 0;
}

int units_match_queued(Units *u) {
        if (!u->queued || !u->bus || u->queued_slot)
                return 0;
        return sd_bus_add_match_async(u->bus, &u->queued_slot,
                                      "type='signal',sender='" SYSTEMD_NAME "',path='" SYSTEMD_OBJECT "',"
                                      "interface='" SYSTEMD_MANAGER "',member='JobNew'",
                                      on_queued, NULL, u);
}

void units_set_queued(Units *u, void (*queued)(void *userdata, const char *unit, const char *job), void *userdata) {
        assert(u);

        u->queued = queued;
        u->queued_userdata = userdata;
        if (!queued)
                u->queued_slot = sd_bus_slot_unref(u->queued_slot);
        (void) units_match_queued(u);   /* if it fails, so does the bus, and it is asked for again with the next one */
}
