/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Polkit
 *
 * Equal questions share one inquiry, so that a caller who sends a hundred requests at once asks polkit once.
 *
 * Remembered are only answers that hold for everybody in the caller's position: no temporary authorisation (polkit
 * would let it run out), no answer after a dialogue (it may be good for once only), and no "not without a dialogue". An
 * answer that polkit may have found before it said Changed is not remembered either.
 */

#include "agent/host/polkit.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include <glib.h>

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_OBJECT "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

#define INQUIRIES_MAX 256
#define INQUIRIES_OF_CALLER_MAX 16      /* so that one caller cannot use up the others' */
#define CALLERS_MAX 4096                /* remembered */
#define DIALOGUE_USEC (UINT64_C(120) * 1000 * 1000)

/* One call to polkit. */
typedef struct Inquiry Inquiry;
struct Inquiry {
        Polkit *polkit;                 /* NULL: answered, being told to the last questions */
        Inquiry *next, *previous;
        sd_bus_slot *slot;              /* the call under way */
        sd_event_source *later;         /* or the "no" that waits for the event loop */
        char *caller, *action;
        bool interactive;
        uint64_t id, generation;
        PolkitQuestion *questions, **questions_end;     /* in the order in which they were asked */
};

struct PolkitQuestion {
        Inquiry *inquiry;
        PolkitQuestion *next, **link;   /* link: the pointer that points here */
        void (*done)(void *userdata, bool allowed);
        void *userdata;
};

struct Polkit {
        sd_event *event;
        sd_bus *bus;                    /* NULL: every answer is no */
        sd_bus_slot *changed_slot, *owner_slot;
        GHashTable *callers;            /* unique name -> GHashTable: action -> GINT_TO_POINTER(allowed) */
        uint64_t generation;            /* how often what is remembered was thrown away */
        uint64_t next_id;               /* for cancellation */
        Inquiry *inquiries;
};

static void inquiry_unlink(Inquiry *i) {
        if (i->previous)
                i->previous->next = i->next;
        else
                i->polkit->inquiries = i->next;
        if (i->next)
                i->next->previous = i->previous;
        i->slot = sd_bus_slot_unref(i->slot);
        i->later = sd_event_source_disable_unref(i->later);
        i->polkit = NULL;
}

static void inquiry_free(Inquiry *i) {
        g_free(i->caller);
        g_free(i->action);
        g_free(i);
}

static void question_free(PolkitQuestion *q) {
        *q->link = q->next;
        if (q->next)
                q->next->link = q->link;
        else
                q->inquiry->questions_end = q->link;
        g_free(q);
}

/* The inquiry is out of sight first: who asks again in a callback asks anew. */
static void inquiry_finish(Inquiry *i, bool allowed) {
        inquiry_unlink(i);
        while (i->questions) {
                PolkitQuestion *q = i->questions;
                void (*done)(void *userdata, bool allowed) = q->done;
                void *userdata = q->userdata;

                question_free(q);
                done(userdata, allowed);
        }
        inquiry_free(i);
}

static char *cancellation_id(const Inquiry *i) {
        return g_strdup_printf("convene-%" PRIu64, i->id);
}

PolkitQuestion *polkit_question_cancel(PolkitQuestion *q) {
        Inquiry *i;

        if (!q)
                return NULL;
        i = q->inquiry;
        question_free(q);
        if (i->questions || !i->polkit)
                return NULL;
        /* A dialogue would stay on somebody's screen. */
        if (i->interactive && i->slot) {
                g_autofree char *id = cancellation_id(i);

                (void) sd_bus_call_method_async(i->polkit->bus, NULL, POLKIT_NAME, POLKIT_OBJECT, POLKIT_INTERFACE,
                                                "CancelCheckAuthorization", NULL, NULL, "s", id);
        }
        inquiry_unlink(i);
        inquiry_free(i);
        return NULL;
}

static int inquiry_on_later(sd_event_source *source, void *userdata) {
        inquiry_finish(userdata, false);
        return 0;
}

static void inquiry_refuse_later(Inquiry *i) {
        int r;

        i->slot = sd_bus_slot_unref(i->slot);
        if (i->later)
                return;
        r = sd_event_add_defer(i->polkit->event, &i->later, inquiry_on_later, i);
        assert(r >= 0);                 /* only memory can lack */
}

static void polkit_forget_all(Polkit *p) {
        g_hash_table_remove_all(p->callers);
        p->generation++;
}

static void inquiry_remember(const Inquiry *i, bool allowed) {
        Polkit *p = i->polkit;
        GHashTable *actions;

        if (i->interactive || i->generation != p->generation)
                return;
        actions = g_hash_table_lookup(p->callers, i->caller);
        if (!actions) {
                if (g_hash_table_size(p->callers) >= CALLERS_MAX)
                        polkit_forget_all(p);
                actions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
                g_hash_table_insert(p->callers, g_strdup(i->caller), actions);
        }
        g_hash_table_replace(actions, g_strdup(i->action), GINT_TO_POINTER(allowed));
}

/* (bba{ss}): authorized, a dialogue might help, details. */
static int answer_read(sd_bus_message *m, bool *ret_allowed, bool *ret_lasting) {
        bool temporary = false;
        int allowed, challenge, r;

        r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
        if (r < 0)
                return r;
        r = sd_bus_message_read(m, "bb", &allowed, &challenge);
        if (r < 0)
                return r;
        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return r;
        for (;;) {
                const char *key, *value;

                r = sd_bus_message_read(m, "{ss}", &key, &value);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                temporary = temporary || g_str_equal(key, "polkit.temporary_authorization_id");
        }
        *ret_allowed = allowed;
        *ret_lasting = allowed ? !temporary : !challenge;
        return 0;
}

static int inquiry_on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        bool allowed = false, lasting = false;
        Inquiry *i = userdata;

        if (!sd_bus_message_is_method_error(m, NULL) && answer_read(m, &allowed, &lasting) >= 0 && lasting)
                inquiry_remember(i, allowed);
        inquiry_finish(i, allowed);
        return 0;
}

static int polkit_on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        polkit_forget_all(userdata);
        return 0;
}

Polkit *polkit_new(sd_event *event) {
        Polkit *p = g_new0(Polkit, 1);

        assert(event);

        p->event = sd_event_ref(event);
        p->callers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
        return p;
}

Polkit *polkit_free(Polkit *p) {
        if (!p)
                return NULL;
        while (p->inquiries)
                polkit_question_cancel(p->inquiries->questions);
        sd_bus_slot_unref(p->changed_slot);
        sd_bus_slot_unref(p->owner_slot);
        sd_bus_unref(p->bus);
        g_hash_table_unref(p->callers);
        sd_event_unref(p->event);
        g_free(p);
        return NULL;
}

void polkit_set_bus(Polkit *p, sd_bus *bus) {
        assert(p);

        if (bus == p->bus)
                return;
        /* Unique names of another bus are other callers. */
        polkit_forget_all(p);
        for (Inquiry *i = p->inquiries; i; i = i->next)
                inquiry_refuse_later(i);
        p->changed_slot = sd_bus_slot_unref(p->changed_slot);
        p->owner_slot = sd_bus_slot_unref(p->owner_slot);
        p->bus = sd_bus_unref(p->bus);
        if (!bus)
                return;
        p->bus = sd_bus_ref(bus);
        (void) sd_bus_match_signal_async(p->bus, &p->changed_slot, POLKIT_NAME, POLKIT_OBJECT, POLKIT_INTERFACE, "Changed",
                                         polkit_on_changed, NULL, p);
        /* Rules may change while polkitd is not there to say so. */
        (void) sd_bus_add_match_async(p->bus, &p->owner_slot,
                                      "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                                      "member='NameOwnerChanged',arg0='" POLKIT_NAME "'",
                                      polkit_on_changed, NULL, p);
}

void polkit_forget(Polkit *p, const char *unique_name) {
        assert(p);
        assert(unique_name);

        g_hash_table_remove(p->callers, unique_name);
        for (Inquiry *i = p->inquiries; i; i = i->next)
                if (g_str_equal(i->caller, unique_name))
                        i->generation = UINT64_MAX;     /* an answer that comes after the caller has left */
}

static int inquiry_ask(Inquiry *i) {
        g_autofree char *id = cancellation_id(i);
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(i->polkit->bus, &m, POLKIT_NAME, POLKIT_OBJECT, POLKIT_INTERFACE,
                                           "CheckAuthorization");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "(sa{sv})sa{ss}us",
                                  "system-bus-name", 1, "name", "s", i->caller,
                                  i->action,
                                  0,                                    /* no details */
                                  (uint32_t) i->interactive,            /* AllowUserInteraction */
                                  i->interactive ? id : "");
        if (r >= 0)
                r = sd_bus_call_async(i->polkit->bus, &i->slot, m, inquiry_on_answer, i,
                                      i->interactive ? DIALOGUE_USEC : 0);
        sd_bus_message_unref(m);
        return r;
}

/* The inquiry that answers this, under way or new; NULL if there are too many. */
static Inquiry *polkit_inquire(Polkit *p, const char *caller, const char *action, bool interactive) {
        unsigned count = 0, of_caller = 0;
        Inquiry *i;

        for (i = p->inquiries; i; i = i->next) {
                bool same_caller = g_str_equal(i->caller, caller);

                if (same_caller && i->interactive == interactive && i->generation == p->generation &&
                    g_str_equal(i->action, action))
                        return i;
                count++;
                of_caller += same_caller;
        }
        if (count >= INQUIRIES_MAX || of_caller >= INQUIRIES_OF_CALLER_MAX)
                return NULL;

        i = g_new0(Inquiry, 1);
        i->polkit = p;
        i->caller = g_strdup(caller);
        i->action = g_strdup(action);
        i->interactive = interactive;
        i->id = ++p->next_id;
        i->generation = p->generation;
        i->questions_end = &i->questions;
        i->next = p->inquiries;
        if (i->next)
                i->next->previous = i;
        p->inquiries = i;
        if (inquiry_ask(i) < 0)
                inquiry_refuse_later(i);
        return i;
}

int polkit_check(Polkit *p, const char *unique_name, const char *action, bool interactive,
                 void (*done)(void *userdata, bool allowed), void *userdata, PolkitQuestion **ret_question) {
        GHashTable *actions;
        PolkitQuestion *q;
        gpointer known;
        Inquiry *i;

        assert(p);
        assert(unique_name);
        assert(action);
        assert(done);

        if (!p->bus)
                return 0;
        actions = g_hash_table_lookup(p->callers, unique_name);
        if (actions && g_hash_table_lookup_extended(actions, action, NULL, &known))
                return GPOINTER_TO_INT(known);
        i = polkit_inquire(p, unique_name, action, interactive);
        if (!i)
                return -EBUSY;

        q = g_new0(PolkitQuestion, 1);
        q->inquiry = i;
        q->done = done;
        q->userdata = userdata;
        q->link = i->questions_end;
        *q->link = q;
        i->questions_end = &q->next;
        if (ret_question)
                *ret_question = q;
        return -EINPROGRESS;
}
