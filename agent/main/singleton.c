/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton
 *
 * The life of one.  Whatever happens only wakes it; singleton_look() then compares what is with what should be.  Two rules are kept
 * everywhere: nothing of it is started without a promise that is long enough, and the place in the election is not given
 * up while anything of it runs.
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/base/messages.h"
#include "agent/base/singleton-name.h"
#include "agent/base/stop-margin.h"
#include "agent/main/journal.h"
#include "agent/main/singletons-internal.h"

#define POLL_USEC (UINT64_C(50) * 1000)         /* of units that are to end */
#define POLLS_PER_STOP 40                       /* so often, they are told to once more */
#define RETRY_USEC (UINT64_C(10) * 1000 * 1000) /* after standing failed */
#define PASSED_OVER_USEC (UINT64_C(200) * 1000) /* it stands again, behind the others */
#define NOT_RENEWED "the promise was not renewed in time: the ensemble has not been heard of"
#define YIELD_USEC (UINT64_C(10) * 1000 * 1000) /* a host yields once in so long */

static int singleton_on_timer(sd_event_source *source, uint64_t usec, void *userdata);
static void look_at_leader_unit(Singleton *s);

static uint64_t now_usec(const Singleton *s) {
        uint64_t now = 0;

        (void) sd_event_now(s->all->event, CLOCK_BOOTTIME, &now);
        return now;
}

static void look_at(Singleton *s, uint64_t usec) {
        uint64_t set = UINT64_MAX;

        if (sd_event_source_get_enabled(s->timer, NULL) > 0 && sd_event_source_get_time(s->timer, &set) >= 0 && set <= usec)
                return;
        (void) sd_event_source_set_time(s->timer, usec);
        (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

void singleton_wake(Singleton *s) {
        look_at(s, 0);
}

static void on_stand_changed(void *userdata) {
        singleton_wake(userdata);
}

static void say(Singleton *s, char *why) {
        g_free(s->why);
        s->why = why;
}

void singleton_tell(const Singleton *s, int priority, const char *message_id, const char *text) {
        g_autofree char *election = g_strdup_printf("CONVENE_ELECTION=%s", s->name), *unit = g_strdup_printf("UNIT=%s", s->unit);

        journal_send(priority, message_id, (const char *const[]) { election, unit, NULL }, "%s: %s", s->unit, text);
}

/*
 * Birth and death
 */

Singleton *singleton_new(Singletons *all, const char *name, SingletonPhase phase) {
        Singleton *s = g_new0(Singleton, 1);
        g_autofree char *held = note_get(all->held_directory, name);

        s->all = all;
        s->name = g_strdup(name);
        s->unit = singleton_name_to_unit(name);
        s->candidate_unit = g_strdup_printf(SINGLETON_CANDIDATE_PREFIX "%s" SINGLETON_CANDIDATE_SUFFIX, name);
        s->leader_unit = g_strdup_printf(SINGLETON_LEADER_PREFIX "%s" SINGLETON_LEADER_SUFFIX, name);
        s->held = held;
        s->phase = phase;
        if (sd_event_add_time(all->event, &s->timer, CLOCK_BOOTTIME, 0, 1000, singleton_on_timer, s) < 0)
                g_error("cannot add a timer to the event loop");
        return s;
}

static void forget_units(Singleton *s) {
        s->job = unit_job_cancel(s->job);
        s->lookup = unit_lookup_cancel(s->lookup);
        s->leader_run = unit_run_free(s->leader_run);
}

void singleton_free(Singleton *s) {
        forget_units(s);
        unit_job_cancel(s->asked);
        unit_job_cancel(s->measuring);
        unit_run_free(s->candidate_run);
        leadership_free(s->leadership);
        stand_free(s->stand);
        sd_event_source_disable_unref(s->timer);
        g_free(s->name);
        g_free(s->unit);
        g_free(s->candidate_unit);
        g_free(s->leader_unit);
        singleton_file_free(s->file);
        g_free(s->refusal);
        g_free(s->doubt);
        g_free(s->why);
        g_strfreev(s->bound);
        g_free(s);
}

bool singleton_is_over(const Singleton *s) {
        return s->phase == SINGLETON_IDLE && !s->stand && !s->candidate_run;
}

/*
 * Whether it should stand
 */

void singleton_set_file(Singleton *s, const SingletonFile *file) {
        g_autofree char *before = g_steal_pointer(&s->refusal);

        if (!file)
                s->refusal = g_strdup_printf("there are no settings for %s in singleton.d; run \"convenectl singleton enable %s\"", s->unit,
                                             s->unit);
        else if (stand_timeout_for(s->all->server, file->session_msec) < file->session_msec)
                s->refusal = g_strdup_printf("%s: TimeoutMax= of convened.conf allows no SessionTimeout= of %" PRIu64 "ms", file->file,
                                             file->session_msec);
        else
                s->refusal = stop_margin_refusal(file->session_msec, file->stop_msec, s->all->heartbeat_msec);
        if (s->refusal && g_strcmp0(before, s->refusal) != 0 && s->candidate_run)
                singleton_tell(s, LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, s->refusal);
        if (file && !(s->refusal && s->leadership)) {           /* a mistake stops nothing that runs */
                singleton_file_free(s->file);
                s->file = singleton_file_copy(file);
        }
        if (s->stand && s->file) {
                stand_set_copies(s->stand, s->file->copies);
                singleton_check_stop(s);
        }
        singleton_wake(s);
}

static void on_candidate_ended(void *userdata, const char *why) {
        Singleton *s = userdata;

        s->candidate_run = unit_run_free(s->candidate_run);
        singleton_wake(s);
}

static char *candidate_text(const Singleton *s) {
        char text[SD_ID128_STRING_MAX];

        return g_strdup(sd_id128_to_string(s->candidate, text));
}

/* Started again, the target lets go of what was stopped; found again after a restart of the agent it does not. */
void singleton_set_candidate(Singleton *s, sd_id128_t invocation) {
        g_autofree char *stopped = note_get(s->all->stopped_directory, s->name), *text = NULL;

        if (s->candidate_run && sd_id128_equal(s->candidate, invocation))
                return;
        unit_run_free(s->candidate_run);
        s->candidate = invocation;
        s->candidate_run = units_watch_run(s->all->units, s->candidate_unit, invocation, on_candidate_ended, s);
        text = candidate_text(s);
        if (stopped && g_str_equal(stopped, text)) {
                s->stopped = true;
                say(s, g_strdup_printf("%s was stopped on this host; start it or %s, or release it, to let it stand again", s->unit,
                                       s->candidate_unit));
        } else
                singleton_let_go(s);
        if (s->refusal)
                singleton_tell(s, LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, s->refusal);
        singleton_wake(s);
}

void singleton_let_go(Singleton *s) {
        note_clear(s->all->stopped_directory, s->name);
        s->stopped = false;
        s->back_until_usec = s->retry_usec = 0;
        singleton_wake(s);
}

void singleton_on_unit_started(Singleton *s) {
        s->unit_seen = true;
        s->told_to_stop = false;
}

static void on_type_of_job(void *userdata, int error, const char *type) {
        Singleton *s = userdata;

        bool is_stop = error >= 0 && g_str_equal(type, "stop");

        s->asked = NULL;
        if (s->stopped && !is_stop)             /* one that is gone already was most likely a start that came to nothing */
                singleton_let_go(s);
        else if (error >= 0 && *type != '\0')
                s->told_to_stop = is_stop;
}

/* Asked at once: a unit may end in any state when it is told to stop, and the job is gone then. */
void singleton_on_job_queued(Singleton *s, const char *job) {
        if (!s->stopped && s->phase != SINGLETON_STARTING && s->phase != SINGLETON_LEADING)
                return;
        unit_job_cancel(s->asked);
        s->asked = units_ask_type_of(s->all->units, job, on_type_of_job, s);
}

/* NULL: it is to stand; otherwise why not. */
static const char *why_not(const Singleton *s) {
        if (s->all->stopping)
                return s->all->stopping;
        if (!s->candidate_run)
                return "this host is no candidate";
        if (s->held)
                return "this host is held back";
        if (s->stopped)
                return "it was stopped on this host";
        return s->refusal;
}

/*
 * The promise
 */

static uint64_t reserve_usec(const Singleton *s) {
        return (s->file->stop_msec + STOP_MARGIN_MSEC) * 1000;
}

/* Until when the unit may run, as far as is promised now; 0: not known, or not at all.  An ensemble of one has no heartbeats: there it takes
 * a look at the clock for the promise to grow. */
static uint64_t deadline_usec(const Singleton *s) {
        uint64_t promised;

        member_on_tick(s->all->member);
        promised = s->stand && s->file ? stand_promised_usec(s->stand) : 0;

        return promised > 0 && promised > reserve_usec(s) ? promised - reserve_usec(s) : 0;
}

static void renew(Singleton *s) {
        uint64_t deadline = deadline_usec(s);

        if (deadline > 0)
                leadership_renew(s->leadership, deadline);
        look_at(s, now_usec(s) + s->all->heartbeat_msec * UINT64_C(1000));
}

/*
 * Stopping
 */

static void stand_back(Singleton *s) {
        uint64_t ran_msec = s->unit_seen && s->since_usec > 0 ? (now_usec(s) - s->since_usec) / 1000 : 0;
        uint64_t first = s->file ? s->file->stand_back_msec : SINGLETON_STAND_BACK_DEFAULT_MSEC;
        uint64_t max = s->file ? s->file->stand_back_max_msec : SINGLETON_STAND_BACK_MAX_DEFAULT_MSEC;
        uint64_t msec = stand_back_msec(&s->back, ran_msec, first, max);
        g_autofree char *text = NULL;

        s->back_until_usec = now_usec(s) + msec * 1000;
        text = g_strdup_printf("this host stands back for %" PRIu64 ".%03" PRIu64 "s, so that another may take over: %s", msec / 1000,
                               msec % 1000, s->why ?: "it failed");
        singleton_tell(s, LOG_WARNING, CONVENE_MESSAGE_SINGLETON_STANDS_BACK, text);
}

static void stay_out(Singleton *s) {
        g_autofree char *text = candidate_text(s);

        s->stopped = true;
        (void) note_set(s->all->stopped_directory, s->name, text);
        say(s, g_strdup_printf("%s was stopped on this host; start it or %s, or release it, to let it stand again", s->unit,
                               s->candidate_unit));
        singleton_tell(s, LOG_NOTICE, CONVENE_MESSAGE_SINGLETON_STANDS_BACK, s->why);
}

/* Its leader unit has ended by itself. */
static SingletonOutcome judge(Singleton *s) {
        if (s->guard_failed) {
                say(s, g_strdup_printf("%s failed", s->leader_unit));
                return OUTCOME_BACK;
        }
        if (s->told_to_stop)            /* some fail as they stop: exit status 143, or killed when TimeoutStopSec= is over */
                return OUTCOME_STOPPED;
        if (s->unit_failed) {
                say(s, g_strdup_printf("%s failed", s->unit));
                return OUTCOME_BACK;
        }
        if (!s->unit_seen) {
                say(s, g_strdup_printf("%s did not start", s->unit));
                return OUTCOME_BACK;
        }
        return OUTCOME_STOPPED;
}

static void stopping_done(Singleton *s) {
        if (s->outcome == OUTCOME_ASK)
                s->outcome = judge(s);
        s->phase = SINGLETON_IDLE;
        if (s->outcome == OUTCOME_BACK)
                stand_back(s);
        else if (s->outcome == OUTCOME_STOPPED)
                stay_out(s);
        if (s->outcome != OUTCOME_KEEP && s->stand)
                stand_leave(s->stand);
        s->since_usec = 0;
        singleton_wake(s);
}

static bool is_over(int error, const UnitFacts *facts) {
        return error == -ENOENT || (error >= 0 && (g_str_equal(facts->active_state, "inactive") ||
                                                   g_str_equal(facts->active_state, "failed")));
}

static bool has_failed(int error, const UnitFacts *facts) {
        return error >= 0 && g_str_equal(facts->active_state, "failed");
}

static void on_unit_seen(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if (is_over(error, facts) && units_available(s->all->units)) {
                s->unit_failed = has_failed(error, facts);
                stopping_done(s);
        } else
                look_at(s, now_usec(s) + POLL_USEC);
}

static void look_at_bound(Singleton *s);

static void on_bound_unit_seen(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if (is_over(error, facts) && units_available(s->all->units)) {
                s->bound_over++;
                look_at_bound(s);
        } else
                look_at(s, now_usec(s) + POLL_USEC);
}

/* One after the other, and the unit itself last. */
static void look_at_bound(Singleton *s) {
        const char *next = s->bound ? s->bound[s->bound_over] : NULL;

        s->lookup = units_lookup_name(s->all->units, next ?: s->unit, next ? on_bound_unit_seen : on_unit_seen, s);
}

/* As long as anything that is bound to it is loaded, so is the leader unit: unknown to systemd, it has none. */
static void on_leader_unit_over(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if (is_over(error, facts) && units_available(s->all->units)) {
                s->guard_failed = has_failed(error, facts);
                g_strfreev(s->bound);
                s->bound = facts ? g_strdupv(facts->bound_by) : NULL;
                s->bound_over = 0;
                look_at_bound(s);
        } else
                look_at(s, now_usec(s) + POLL_USEC);
}

static void on_stop_done(void *userdata, int error, const char *result) {
        Singleton *s = userdata;

        s->job = NULL;
        if (error < 0) {
                g_autofree char *text = g_strdup_printf("cannot stop %s: %s; asking again", s->leader_unit, strerror(-error));

                if (s->looks % POLLS_PER_STOP == 1)
                        singleton_tell(s, LOG_WARNING, NULL, text);
        }
        singleton_wake(s);
}

static void look_while_stopping(Singleton *s) {
        if (s->job || s->lookup)
                return;
        if (s->looks++ % POLLS_PER_STOP == 0 && (s->outcome != OUTCOME_ASK || s->looks > 1))
                s->job = units_stop(s->all->units, s->leader_unit, on_stop_done, s);
        else
                s->lookup = units_lookup_name(s->all->units, s->leader_unit, on_leader_unit_over, s);
}

/* The guard ends when its file goes, and the unit with it; that it is told to stop as well is for when it hangs.  `why` is taken. */
static void stop(Singleton *s, SingletonOutcome outcome, char *why) {
        if (s->leadership)
                singleton_tell(s, LOG_INFO, CONVENE_MESSAGE_SINGLETON_LOST, why);
        say(s, why);
        s->leadership = leadership_end(s->leadership);
        leadership_remove(s->all->leader_directory, s->name);
        forget_units(s);
        s->phase = SINGLETON_STOPPING;
        s->outcome = outcome;
        s->guard_failed = s->unit_failed = false;
        s->looks = 0;
        look_while_stopping(s);
}

/*
 * Starting
 */

static void on_leader_unit_ended(void *userdata, const char *why) {
        Singleton *s = userdata;

        s->leader_run = unit_run_free(s->leader_run);
        if (s->phase != SINGLETON_LEADING)
                return;
        if (now_usec(s) >= leadership_deadline_usec(s->leadership))     /* the guard saw it first; the unit is not to blame */
                stop(s, OUTCOME_AGAIN, g_strdup(NOT_RENEWED));
        else
                stop(s, OUTCOME_ASK, g_strdup_printf("%s ended", s->leader_unit));
}

static void lead(Singleton *s, sd_id128_t invocation) {
        s->phase = SINGLETON_LEADING;
        s->leader_run = units_watch_run(s->all->units, s->leader_unit, invocation, on_leader_unit_ended, s);
        say(s, NULL);
        singleton_wake(s);
}

static bool is_up(int error, const UnitFacts *facts) {
        return error >= 0 && !sd_id128_is_null(facts->invocation) && g_str_equal(facts->active_state, "active");
}

static void on_leader_unit_seen(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if (is_up(error, facts)) {
                lead(s, facts->invocation);
                return;
        }
        if (!is_over(error, facts))
                look_at(s, now_usec(s) + POLL_USEC);
        else            /* it may have been up for a moment, if the unit ended at once: how it ended says what to do */
                stop(s, OUTCOME_ASK, g_strdup_printf("%s did not stay up", s->leader_unit));
}

static void on_start_done(void *userdata, int error, const char *result) {
        Singleton *s = userdata;

        s->job = NULL;
        if (error < 0 && error != -ENOTCONN && error != -ETIMEDOUT)
                stop(s, OUTCOME_BACK, g_strdup_printf("cannot start %s: %s", s->leader_unit, strerror(-error)));
        else
                singleton_wake(s);              /* what has become of it is looked at */
}

/* Somebody is to go first, and waits.  Once in a while only, for hosts may not agree on who that is. */
static bool yields(Singleton *s) {
        g_autoptr(GArray) seen = NULL;
        g_autoptr(GPtrArray) hosts = g_ptr_array_new();
        unsigned place = UINT_MAX;

        if (!s->file->preferred || (s->yielded_usec > 0 && now_usec(s) < s->yielded_usec + YIELD_USEC))
                return false;
        seen = stands_see(s->all->server, s->name);
        for (guint i = 0; i < seen->len; i++) {
                g_ptr_array_add(hosts, g_array_index(seen, StandSeen, i).host);
                if (g_array_index(seen, StandSeen, i).token == stand_token(s->stand))
                        place = i;
        }
        return candidacy_yields((const char *const *) hosts->pdata, hosts->len, place, s->file->copies,
                                (const char *const *) s->file->preferred);
}

static void gain(Singleton *s) {
        uint64_t deadline = deadline_usec(s), step = s->all->heartbeat_msec * UINT64_C(1000);
        g_autofree char *text = NULL;
        int error = 0;

        if (deadline < now_usec(s) + step) {
                look_at(s, now_usec(s) + step);         /* the ensemble has not been heard of for too long */
                return;
        }
        if (stand_is_passed_over(s->stand)) {
                s->retry_usec = now_usec(s) + PASSED_OVER_USEC;
                say(s, g_strdup("it is being handed over to another host"));
                stand_leave(s->stand);
                return;
        }
        if (!stand_is_chosen(s->stand) && yields(s)) {
                s->yielded_usec = now_usec(s);
                say(s, g_strdup("a preferred host goes first"));
                stand_leave(s->stand);
                return;
        }
        s->leadership = leadership_begin(s->all->leader_directory, s->name, stand_token(s->stand), deadline, &error);
        if (!s->leadership) {
                stop(s, OUTCOME_BACK, g_strdup_printf("cannot write %s/%s: %s", s->all->leader_directory, s->name, strerror(-error)));
                return;
        }
        text = g_strdup_printf("this host leads, token %" PRIu64, stand_token(s->stand));
        singleton_tell(s, LOG_INFO, CONVENE_MESSAGE_SINGLETON_GAINED, text);
        say(s, NULL);
        s->phase = SINGLETON_STARTING;
        s->since_usec = now_usec(s);
        s->unit_seen = s->told_to_stop = false;
        s->asked = unit_job_cancel(s->asked);
        s->job = units_start(s->all->units, s->leader_unit, on_start_done, s);
        renew(s);
}

/*
 * Looking
 */

static bool is_a_mistake(const Singleton *s, const char *why) {
        return why == s->refusal;
}

static void look_while_leading(Singleton *s) {
        StandState state = s->stand ? stand_state(s->stand) : STAND_GONE;
        const char *why = why_not(s);

        if (state == STAND_GONE || state == STAND_LEAVING)
                stop(s, OUTCOME_AGAIN, g_strdup("leadership is lost: this host's session has ended"));
        else if (state == STAND_WAITING)
                stop(s, OUTCOME_AGAIN, g_strdup("leadership is lost: others stand before this host"));
        else if (now_usec(s) >= leadership_deadline_usec(s->leadership))
                stop(s, OUTCOME_AGAIN, g_strdup(NOT_RENEWED));
        else if (why && !is_a_mistake(s, why))
                stop(s, OUTCOME_AGAIN, g_strdup_printf("resigning: %s", why));
        else if (state == STAND_LEADING && stand_is_to_resign(s->stand))
                stop(s, OUTCOME_AGAIN, g_strdup("resigning: it is handed over to another host"));
        else {
                renew(s);
                if (s->phase == SINGLETON_STARTING && !s->job && !s->lookup)
                        s->lookup = units_lookup_name(s->all->units, s->leader_unit, on_leader_unit_seen, s);
        }
}

static void look_for_leadership(Singleton *s) {
        if (stand_state(s->stand) != STAND_OPENING &&
            stand_timeout_msec(s->stand) != stand_timeout_for(s->all->server, s->file->session_msec)) {
                stand_leave(s->stand);          /* another SessionTimeout= than it began with */
                return;
        }
        switch (stand_state(s->stand)) {

        case STAND_LEADING:
                gain(s);
                break;

        case STAND_WAITING:
        case STAND_OPENING:
                say(s, NULL);
                break;

        default:                                /* it is told when the session has ended */
                break;
        }
}

static void stand_up(Singleton *s) {
        uint64_t not_before = MAX(s->back_until_usec, s->retry_usec);

        if (now_usec(s) < not_before) {
                look_at(s, not_before);
                return;
        }
        s->back_until_usec = s->retry_usec = 0;
        singleton_check_stop(s);
        s->stand = stand_new(s->all->server, s->name, s->file->copies, (uint32_t) s->file->session_msec, on_stand_changed, s);
}

static void look_while_idle(Singleton *s) {
        bool wanted = !why_not(s);

        if (!s->stand && wanted)
                stand_up(s);
        else if (s->stand && !wanted)
                stand_leave(s->stand);
        else if (s->stand)
                look_for_leadership(s);
        singletons_on_idle(s->all);
}

static void stand_is_gone(Singleton *s) {
        ConveneStatus error = stand_error(s->stand);

        s->stand = stand_free(s->stand);
        if (s->phase != SINGLETON_IDLE || error == CONVENE_OK || error == CONVENE_SESSION_EXPIRED)
                return;
        say(s, g_strdup_printf("this host cannot stand in the election: %s", convene_status_describe(error)));
        singleton_tell(s, LOG_WARNING, NULL, s->why);
        s->retry_usec = now_usec(s) + RETRY_USEC;
}

static void singleton_look(Singleton *s) {
        if (s->stand && stand_state(s->stand) == STAND_GONE)
                stand_is_gone(s);

        switch (s->phase) {

        case SINGLETON_RECOVERING:
                if (!s->lookup)
                        look_at_leader_unit(s);
                if (s->leadership)
                        renew(s);
                break;

        case SINGLETON_IDLE:
                look_while_idle(s);
                break;

        case SINGLETON_STARTING:
        case SINGLETON_LEADING:
                look_while_leading(s);
                break;

        case SINGLETON_STOPPING:
                look_while_stopping(s);
                break;
        }
}

static int singleton_on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        singleton_look(userdata);
        return 0;
}

/*
 * After a restart of the agent
 */

static void on_leader_unit_found(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if ((error < 0 && error != -ENOENT) || !units_available(s->all->units)) {
                look_at(s, now_usec(s) + s->all->heartbeat_msec * UINT64_C(1000));      /* systemd cannot be asked yet */
                return;
        }
        if (is_up(error, facts) && s->stand && s->leadership && leadership_token(s->leadership) == stand_token(s->stand)) {
                s->since_usec = now_usec(s);
                s->unit_seen = true;
                lead(s, facts->invocation);
        } else
                stop(s, OUTCOME_KEEP, g_strdup("it did not go on running while the agent was away"));
}

static void on_candidate_found(void *userdata, int error, const UnitFacts *facts) {
        Singleton *s = userdata;

        s->lookup = NULL;
        if ((error < 0 && error != -ENOENT) || !units_available(s->all->units)) {
                look_at(s, now_usec(s) + s->all->heartbeat_msec * UINT64_C(1000));
                return;
        }
        if (is_up(error, facts))
                singleton_set_candidate(s, facts->invocation);
        s->lookup = units_lookup_name(s->all->units, s->leader_unit, on_leader_unit_found, s);
}

static void look_at_leader_unit(Singleton *s) {
        if (!units_available(s->all->units))
                look_at(s, now_usec(s) + s->all->heartbeat_msec * UINT64_C(1000));
        else
                s->lookup = units_lookup_name(s->all->units, s->candidate_unit, on_candidate_found, s);
}

void singleton_adopt(Singleton *s, Stand *stand) {
        s->stand = stand;
        if (stand)
                stand_listen(stand, on_stand_changed, s);
        s->leadership = leadership_adopt(s->all->leader_directory, s->name);
        singleton_wake(s);
}

const char *singleton_state(const Singleton *s) {
        if (s->phase == SINGLETON_LEADING || s->phase == SINGLETON_STARTING || s->leadership)
                return "leading";
        if (!s->candidate_run)
                return "not-standing";
        if (s->held || s->stopped)
                return "held";
        if (s->refusal)
                return "refused";
        return s->back_until_usec > 0 ? "standing-back" : "standing-by";
}
