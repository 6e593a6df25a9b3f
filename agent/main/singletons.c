/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singletons: which there are
 */

#include "agent/main/singletons.h"

#include <string.h>

#include "agent/base/leader-file.h"
#include "agent/base/messages.h"
#include "agent/base/singleton-name.h"
#include "agent/main/journal.h"
#include "agent/main/singletons-internal.h"

#define SETTINGS "singleton.d"
#define RESIGN_USEC (UINT64_C(3) * 1000 * 1000) /* longer than an election takes */

static void destroy(gpointer p) {
        singleton_free(p);
}

Singletons *singletons_new(sd_event *event, Member *member, Units *units, Server *server, const SingletonsOptions *options) {
        Singletons *s = g_new0(Singletons, 1);

        s->event = event;
        s->member = member;
        s->units = units;
        s->server = server;
        if (options->directories)
                s->directories = g_strdupv((char **) options->directories);
        else {
                s->directories = g_new0(char *, 4);
                s->directories[0] = g_strdup("/etc/convene/" SETTINGS);
                s->directories[1] = g_build_filename(options->runtime, SETTINGS, NULL);
                s->directories[2] = g_strdup("/usr/lib/convene/" SETTINGS);
        }
        s->leader_directory = g_build_filename(options->runtime, LEADER_FILE_DIRECTORY, NULL);
        s->stopped_directory = g_build_filename(options->runtime, "stopped", NULL);
        s->held_directory = g_build_filename(options->data, "held", NULL);
        s->host = g_strdup(options->host);
        s->heartbeat_msec = options->heartbeat_msec;
        s->problems = g_ptr_array_new_with_free_func(g_free);
        s->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, destroy);
        return s;
}

Singletons *singletons_free(Singletons *s) {
        if (!s)
                return NULL;
        units_set_started(s->units, NULL, NULL, s);
        units_set_queued(s->units, NULL, NULL);
        sd_event_source_disable_unref(s->patience);
        g_hash_table_unref(s->by_name);
        singleton_set_free(s->set);
        g_ptr_array_unref(s->problems);
        g_strfreev(s->directories);
        g_free(s->leader_directory);
        g_free(s->stopped_directory);
        g_free(s->held_directory);
        g_free(s->host);
        g_free(s);
        return NULL;
}

static Singleton *find(Singletons *s, const char *name) {
        return g_hash_table_lookup(s->by_name, name);
}

static Singleton *add(Singletons *s, const char *name, SingletonPhase phase) {
        Singleton *one = singleton_new(s, name, phase);

        g_hash_table_insert(s->by_name, one->name, one);
        if (s->set)
                singleton_set_file(one, singleton_set_match(s->set, one->unit));
        return one;
}

/* Those of an order that does not depend on the table's. */
static GList *sorted(Singletons *s) {
        return g_list_sort(g_hash_table_get_keys(s->by_name), (GCompareFunc) strcmp);
}

/*
 * Candidates, and the units themselves
 */

static Singleton *find_of_unit(Singletons *s, const char *unit) {
        g_autofree char *name = singleton_name_of_unit(unit);

        return name ? find(s, name) : NULL;
}

static bool is_wanted(void *userdata, const char *unit) {
        g_autofree char *name = singleton_name_of_candidate(unit);

        return name || find_of_unit(userdata, unit);
}

static void on_started(void *userdata, const UnitFacts *facts) {
        Singletons *s = userdata;
        g_autofree char *name = singleton_name_of_candidate(facts->unit);
        Singleton *one = name ? find(s, name) : find_of_unit(s, facts->unit);

        if (name)
                singleton_set_candidate(one ?: add(s, name, SINGLETON_IDLE), facts->invocation);
        else if (one)
                singleton_on_unit_started(one);
}

/* A unit that an administrator has stopped here is started by one: where it does not lead, that is all there is to be seen of it. */
static void on_queued(void *userdata, const char *unit, const char *job) {
        Singleton *one = find_of_unit(userdata, unit);

        if (one)
                singleton_on_job_queued(one, job);
}

/*
 * Beginning
 */

static void on_stand_found(void *userdata, const char *election, Stand *stand) {
        Singletons *s = userdata;

        if (singleton_name_is_valid(election) && !find(s, election))
                singleton_adopt(add(s, election, SINGLETON_RECOVERING), stand);
}

void singletons_begin(Singletons *s) {
        g_autoptr(GPtrArray) left = leaderships_find(s->leader_directory);

        stands_recover(s->server, on_stand_found, s);
        for (guint i = 0; i < left->len; i++)
                if (!find(s, left->pdata[i]))
                        singleton_adopt(add(s, left->pdata[i], SINGLETON_RECOVERING), NULL);
        s->begun = true;
        singletons_load(s);
}

/* A hash table's values may not be removed while it is gone through. */
static void drop_those_over(Singletons *s) {
        g_autoptr(GList) names = sorted(s);

        for (GList *i = names; i; i = i->next)
                if (singleton_is_over(find(s, i->data)))
                        g_hash_table_remove(s->by_name, i->data);
}

void singletons_load(Singletons *s) {
        g_autoptr(GList) names = NULL;

        if (!s->begun)
                return;
        g_ptr_array_set_size(s->problems, 0);
        singleton_set_free(s->set);
        s->set = singleton_set_load((const char *const *) s->directories, s->problems);
        for (guint i = 0; i < s->problems->len; i++)
                journal(LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, "%s; the file is ignored", (char *) s->problems->pdata[i]);

        drop_those_over(s);
        names = sorted(s);
        for (GList *i = names; i; i = i->next) {
                Singleton *one = find(s, i->data);

                singleton_set_file(one, singleton_set_match(s->set, one->unit));
        }
        units_set_started(s->units, is_wanted, on_started, s);
        units_set_queued(s->units, on_queued, s);
}

/*
 * Stopping all
 */

bool singletons_any(Singletons *s) {
        GHashTableIter i;
        gpointer p;

        g_hash_table_iter_init(&i, s->by_name);
        while (g_hash_table_iter_next(&i, NULL, &p))
                if (((Singleton *) p)->phase != SINGLETON_IDLE || ((Singleton *) p)->stand)
                        return true;
        return false;
}

unsigned singletons_running(Singletons *s) {
        GHashTableIter i;
        unsigned n = 0;
        gpointer p;

        g_hash_table_iter_init(&i, s->by_name);
        while (g_hash_table_iter_next(&i, NULL, &p))
                n += ((Singleton *) p)->phase != SINGLETON_IDLE;
        return n;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Singletons *s = userdata;

        if (s->stopped) {
                journal(LOG_WARNING, NULL, "the ensemble has not confirmed that this host has resigned (it may have no quorum); its places in "
                        "elections end when their SessionTimeout= is over");
                g_steal_pointer(&s->stopped)(s->stopped_userdata);
        }
        return 0;
}

/* Resigning takes a quorum.  Without one, as when all hosts are switched off together, it is not waited for: with nothing running here, the
 * end of the sessions' timeouts does as well. */
void singletons_on_idle(Singletons *s) {
        if (!s->stopping || !s->stopped)
                return;
        if (!singletons_any(s) ||
            (!s->patience && singletons_running(s) == 0 &&
             sd_event_add_time_relative(s->event, &s->patience, CLOCK_BOOTTIME, RESIGN_USEC, 0, on_patience, s) < 0))
                g_steal_pointer(&s->stopped)(s->stopped_userdata);
}

static void set_stopping(Singletons *s, const char *why, void (*done)(void *userdata), void *userdata) {
        GHashTableIter i;
        gpointer p;

        s->stopping = why;
        s->stopped = done;
        s->stopped_userdata = userdata;
        s->patience = sd_event_source_disable_unref(s->patience);
        g_hash_table_iter_init(&i, s->by_name);
        while (g_hash_table_iter_next(&i, NULL, &p))
                singleton_wake(p);
}

void singletons_stop(Singletons *s, const char *why, void (*done)(void *userdata), void *userdata) {
        set_stopping(s, why, done, userdata);
        singletons_on_idle(s);
}

void singletons_resume(Singletons *s) {
        set_stopping(s, NULL, NULL, NULL);
}

/*
 * For the bus
 */

ConveneStatus singletons_hold(Singletons *s, const char *name, bool hold) {
        Singleton *one;

        if (!singleton_name_is_valid(name))
                return CONVENE_BAD_ARGUMENTS;
        one = find(s, name);
        if (!hold)
                note_clear(s->held_directory, name);
        else if (note_set(s->held_directory, name, "") < 0)
                return CONVENE_SYSTEM_ERROR;
        if (!one)
                return CONVENE_OK;
        one->held = hold;
        if (!hold)
                singleton_let_go(one);
        singleton_wake(one);
        return CONVENE_OK;
}

static void show(Singletons *s, const char *name, const char *unit, const Singleton *one, uint32_t copies,
                 void (*each)(void *sink, const ServerSingleton *one), void *sink) {
        g_autoptr(GArray) seen = stands_see(s->server, name);
        g_autoptr(GPtrArray) hosts = g_ptr_array_new();
        ServerSingleton row = { .name = name, .unit = unit, .state = "not-standing", .copies = copies };

        for (guint i = 0; i < seen->len; i++)
                g_ptr_array_add(hosts, g_array_index(seen, StandSeen, i).host);
        g_ptr_array_add(hosts, NULL);
        row.hosts = (const char *const *) hosts->pdata;
        row.token = seen->len > 0 ? g_array_index(seen, StandSeen, 0).token : 0;
        if (one) {
                row.state = singleton_state(one);
                row.text = one->phase == SINGLETON_IDLE && one->candidate_run && one->refusal ? one->refusal :
                           one->phase == SINGLETON_IDLE && s->stopping ? s->stopping : one->why ?: one->doubt;
                row.deadline_usec = one->leadership ? leadership_deadline_usec(one->leadership) : 0;
                row.until_usec = one->back_until_usec;
        }
        each(sink, &row);
}

typedef struct Showing {
        Singletons *all;
        void (*each)(void *sink, const ServerSingleton *one);
        void *sink;
} Showing;

/* Those that are declared and do not stand. */
static void show_file(void *userdata, const SingletonFile *f) {
        g_autofree char *name = singleton_name_of_unit(f->unit);
        Showing *sh = userdata;

        if (name && singleton_set_match(sh->all->set, f->unit) == f && !find(sh->all, name))
                show(sh->all, name, f->unit, NULL, f->copies, sh->each, sh->sink);
}

void singletons_foreach(Singletons *s, void (*each)(void *sink, const ServerSingleton *one), void *sink) {
        Showing sh = { s, each, sink };
        g_autoptr(GList) names = sorted(s);

        for (GList *i = names; i; i = i->next) {
                const Singleton *one = find(s, i->data);

                if (!singleton_is_over(one) || one->file)
                        show(s, one->name, one->unit, one, one->file ? one->file->copies : 1, each, sink);
        }
        if (s->set)
                singleton_set_foreach(s->set, show_file, &sh);
}

const GPtrArray *singletons_problems(const Singletons *s) {
        return s->problems;
}
