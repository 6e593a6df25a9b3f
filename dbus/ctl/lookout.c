/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lookout
 */

#include "dbus/ctl/lookout.h"

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/output.h"

#define WATCH_NUMBER UINT64_C(1)

struct Lookout {
        Ctl *ctl;
        LookoutHandler handler;
        Link *link;
        sd_event_source *deadline;
        sd_event_source *again;         /* the next look */
        uint64_t end_usec;              /* CLOCK_MONOTONIC; UINT64_MAX: never */
        bool watching;                  /* on this connection */
        bool changed;                   /* since the last look began */
        bool idle;                      /* the agent does not serve: it will tell when it does */
};

/* No call takes longer than is left, and none less than a moment. */
static void limit_calls(Lookout *l) {
        uint64_t now = (uint64_t) g_get_monotonic_time();

        if (l->ctl->bus && l->end_usec != UINT64_MAX)
                (void) sd_bus_set_method_call_timeout(l->ctl->bus, l->end_usec > now ? l->end_usec - now : 1);
}

static ExitStatus register_watch(Lookout *l) {
        g_auto(Call) call = CALL_INIT(l->ctl);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin(&call, "Watches", "Watch");
        call_append(&call, "tss", WATCH_NUMBER, l->handler.path, l->handler.recursive ? "recursive" : "persistent");
        call_open_options(&call);
        ExitStatus e = call_send(&call, l->handler.path, &reply);
        l->watching = e == EXIT_STATUS_OK;
        return e;
}

static ExitStatus look(Lookout *l) {
        g_auto(AgentStatus) status = {};

        limit_calls(l);
        ExitStatus e = agent_status_read(l->ctl, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!status.serving) {
                if (!l->idle && !l->ctl->options->quiet)
                        print_error("the agent does not serve yet%s%s; waiting for it", *status.trouble ? ": " : "",
                                    status.trouble);
                l->idle = true;
                return EXIT_STATUS_OK;
        }

        l->idle = l->changed = false;
        if (l->handler.path && !l->watching)
                e = register_watch(l);
        return e == EXIT_STATUS_OK ? l->handler.look(l->handler.userdata) : e;
}

static void look_later(Lookout *l, uint64_t usec) {
        int enabled;

        l->changed = true;
        if (sd_event_source_get_enabled(l->again, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        sd_event_source_set_time_relative(l->again, usec);
        sd_event_source_set_enabled(l->again, SD_EVENT_ONESHOT);
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata) {
        Lookout *l = userdata;

        l->ctl->hush = true;
        ExitStatus e = look(l);
        l->ctl->hush = false;
        if (e == EXIT_STATUS_UNREACHABLE)
                link_retry(l->link);
        else if (e != EXIT_STATUS_OK)
                link_end(l->link, e);
        return 0;
}

static ExitStatus on_established(void *userdata, bool again) {
        Lookout *l = userdata;

        l->watching = false;
        return look(l);
}

static ExitStatus on_signal(void *userdata, const char *interface, sd_bus_message *m) {
        Lookout *l = userdata;

        if (g_str_equal(interface, "Watches"))
                look_later(l, l->handler.settle_usec);
        else if (l->idle && g_str_equal(interface, "Properties"))
                look_later(l, 0);
        return EXIT_STATUS_OK;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata) {
        Lookout *l = userdata;

        link_end(l->link, l->handler.timed_out(l->handler.userdata));
        return 0;
}

static int add_timers(Lookout *l) {
        const Options *o = l->ctl->options;
        sd_event *event = link_get_event(l->link);

        int r = sd_event_add_time_relative(event, &l->again, CLOCK_MONOTONIC, 0, 1, on_again, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->again, SD_EVENT_OFF);
        if (r < 0 || !l->handler.timed_out || !(o->given & OPTION_BIT(OPTION_TIMEOUT)))
                return r;
        l->end_usec = (uint64_t) g_get_monotonic_time() + o->timeout_msec * 1000;
        return sd_event_add_time(event, &l->deadline, CLOCK_MONOTONIC, l->end_usec, 1, on_deadline, l);
}

ExitStatus lookout_new(Ctl *c, const LookoutHandler *handler, Lookout **ret) {
        g_autoptr(Lookout) l = g_new0(Lookout, 1);
        LinkHandler link_handler = {
                .established = on_established,
                .signal = on_signal,
                .userdata = l,
                .patient = true,
        };

        l->ctl = c;
        l->handler = *handler;
        l->end_usec = UINT64_MAX;
        ExitStatus e = link_new(c, &link_handler, LINK_PATIENCE_MAX, &l->link);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = add_timers(l);
        if (r < 0) {
                print_error("cannot set up the event loop: %s", g_strerror(-r));
                return EXIT_STATUS_FAILURE;
        }

        *ret = g_steal_pointer(&l);
        return EXIT_STATUS_OK;
}

Lookout *lookout_free(Lookout *l) {
        if (l) {
                sd_event_source_disable_unref(l->deadline);
                sd_event_source_disable_unref(l->again);
                link_free(l->link);
                g_free(l);
        }
        return NULL;
}

sd_event *lookout_get_event(Lookout *l) {
        return link_get_event(l->link);
}

ExitStatus lookout_run(Lookout *l) {
        return link_run(l->link);
}

void lookout_end(Lookout *l, ExitStatus e) {
        link_end(l->link, e);
}

/* Signals come before the answer that shows what they tell of: they are here by now, and wait for the loop. */
bool lookout_is_settled(Lookout *l) {
        while (l->ctl->bus && sd_bus_process(l->ctl->bus, NULL) > 0)
                ;
        return !l->changed;
}
