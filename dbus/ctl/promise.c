/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Promise
 *
 * Nothing here waits: an agent that is stopped accepts connections, and answers nothing.
 */

#include "dbus/ctl/promise.h"

#include "dbus/ctl/clock.h"
#include "dbus/ctl/connection.h"

#define ACCURACY_USEC 1000
#define ASK_GRACES 3                    /* before the deadline: time for several tries */
#define TRIES_PER_GRACE 4
#define MOMENTS_PER_GRACE 8
#define SESSION_SIGNATURE "(tssuuuxt)"

struct Promise {
        sd_event *event;
        char *address, *path;
        uint64_t grace_usec;
        void (*ended)(void *userdata);
        void *userdata;

        sd_bus *bus;
        sd_bus_slot *asking;            /* the call under way */
        sd_event_source *ask, *end;
        uint64_t session;               /* 0: not known yet */
        uint64_t deadline_usec;         /* CLOCK_BOOTTIME; 0: not known yet */
        bool late;                      /* a last answer is waited for */
        bool unbound;                   /* no session stands behind it */
};

static void hang_up(Promise *p) {
        p->asking = sd_bus_slot_unref(p->asking);
        if (!p->bus)
                return;
        sd_bus_detach_event(p->bus);
        sd_bus_close(p->bus);
        p->bus = sd_bus_unref(p->bus);
}

static void ask_at(Promise *p, uint64_t usec) {
        (void) sd_event_source_set_time(p->ask, usec);
        (void) sd_event_source_set_enabled(p->ask, SD_EVENT_ONESHOT);
}

/* It may have been us who were stopped: the agent has another moment to say what is so now. */
static int on_end(sd_event_source *source, uint64_t usec, void *userdata) {
        Promise *p = userdata;

        if (p->late) {
                p->ended(p->userdata);
                return 0;
        }
        p->late = true;
        if (!p->asking)
                ask_at(p, 0);
        (void) sd_event_source_set_time(source, now_usec(CLOCK_BOOTTIME) + p->grace_usec / MOMENTS_PER_GRACE);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Not before it is needed: connecting to the socket of an agent that is being stopped would start it again. */
static void ask_next(Promise *p) {
        uint64_t before = MIN(p->deadline_usec, ASK_GRACES * p->grace_usec);

        ask_at(p, MAX(p->deadline_usec - before, now_usec(CLOCK_BOOTTIME) + p->grace_usec / TRIES_PER_GRACE));
}

/* What was promised once stays promised, also by an agent that has just been started and does not know of it yet. */
static void take_deadline(Promise *p, uint64_t usec) {
        if (usec > p->deadline_usec) {
                p->deadline_usec = usec;
                p->late = false;
                (void) sd_event_source_set_time(p->end, usec - p->grace_usec / 4 * 3);
                (void) sd_event_source_set_enabled(p->end, SD_EVENT_ONESHOT);
        }
        ask_next(p);
}

static int on_listed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Promise *p = userdata;
        const char *kind, *owner;
        uint64_t id = 0, deadline = 0;
        uint32_t member, timeout, ephemerals;
        int64_t created;

        p->asking = sd_bus_slot_unref(p->asking);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_enter_container(m, 'a', SESSION_SIGNATURE) < 0 ||
            sd_bus_message_read(m, SESSION_SIGNATURE, &id, &kind, &owner, &member, &timeout, &ephemerals, &created,
                                &deadline) <= 0 ||
            id != p->session)
                ask_next(p);
        else
                take_deadline(p, deadline);
        hang_up(p);                     /* connections are few, and there may be many who hold something */
        return 0;
}

static int on_found(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Promise *p = userdata;
        uint64_t czxid, mzxid, pzxid, session = 0;
        int64_t ctime, mtime;
        int32_t version, cversion, aversion;
        int there;

        p->asking = sd_bus_slot_unref(p->asking);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "b", &there) <= 0 || !there ||
            sd_bus_message_enter_container(m, 'r', "tttxxiiitii") <= 0 ||
            sd_bus_message_read(m, "tttxxiiit", &czxid, &mzxid, &pzxid, &ctime, &mtime, &version, &cversion, &aversion,
                                &session) <= 0) {
                ask_next(p);
                return 0;
        }
        p->session = session;
        p->unbound = session == 0;
        if (p->unbound)
                hang_up(p);
        else
                ask_at(p, 0);
        return 0;
}

/* First the session, then its deadline. */
static int call(Promise *p) {
        g_autoptr(sd_bus_message) m = NULL;
        bool is_known = p->session != 0;
        int r;

        r = sd_bus_message_new_method_call(p->bus, &m, AGENT_NAME, AGENT_PATH,
                                           is_known ? AGENT_NAME ".Sessions" : AGENT_NAME ".Tree", is_known ? "List" : "Exists");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0 && is_known)
                r = sd_bus_message_append(m, "a{sv}", 2, "start-after", "t", p->session - 1, "limit", "u", 1);
        else if (r >= 0)
                r = sd_bus_message_append(m, "sa{sv}", p->path, 0);
        return r < 0 ? r : sd_bus_call_async(p->bus, &p->asking, m, is_known ? on_listed : on_found, p, 0);
}

static int dial(Promise *p) {
        int r;

        r = sd_bus_new(&p->bus);
        if (r >= 0)
                r = sd_bus_set_address(p->bus, p->address);
        if (r >= 0)
                r = sd_bus_set_bus_client(p->bus, true);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(p->bus, UINT64_MAX);        /* the end comes first */
        if (r >= 0)
                r = sd_bus_set_close_on_exit(p->bus, false);    /* it would wait for an agent that is stopped */
        if (r >= 0)
                r = sd_bus_start(p->bus);
        if (r >= 0)
                r = sd_bus_attach_event(p->bus, p->event, SD_EVENT_PRIORITY_NORMAL);
        return r;
}

/* A connection that has broken answers all its calls with errors. */
static int on_ask(sd_event_source *source, uint64_t usec, void *userdata) {
        Promise *p = userdata;
        int r = 0;

        if (p->asking || p->unbound)
                return 0;
        if (p->bus && sd_bus_is_open(p->bus) <= 0)
                hang_up(p);
        if (!p->bus)
                r = dial(p);
        if (r >= 0)
                r = call(p);
        if (r < 0) {
                hang_up(p);
                ask_next(p);
        }
        return 0;
}

Promise *promise_new(sd_event *event, const char *address, const char *path, uint32_t grace_msec, void (*ended)(void *userdata),
                     void *userdata) {
        Promise *p = g_new0(Promise, 1);

        p->event = sd_event_ref(event);
        p->address = g_strdup(address);
        p->path = g_strdup(path);
        p->grace_usec = (uint64_t) grace_msec * 1000;
        p->ended = ended;
        p->userdata = userdata;
        if (sd_event_add_time(event, &p->end, CLOCK_BOOTTIME, UINT64_MAX, ACCURACY_USEC, on_end, p) < 0 ||
            sd_event_add_time(event, &p->ask, CLOCK_BOOTTIME, 0, ACCURACY_USEC, on_ask, p) < 0)
                p->unbound = true;
        return p;
}

Promise *promise_free(Promise *p) {
        if (!p)
                return NULL;

        hang_up(p);
        sd_event_source_disable_unref(p->ask);
        sd_event_source_disable_unref(p->end);
        sd_event_unref(p->event);
        g_free(p->address);
        g_free(p->path);
        g_free(p);
        return NULL;
}
