/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Singletons, inside: what singletons.c (which there are, and what is known of them) and singleton.c (the life of one) share.
 */

#include <syslog.h>

#include "agent/main/leadership.h"
#include "agent/main/singletons.h"
#include "agent/recipe/candidacy.h"
#include "dbus/server/stand.h"

typedef enum SingletonPhase {
        SINGLETON_RECOVERING,           /* what an agent before this one has left is looked at */
        SINGLETON_IDLE,                 /* nothing of it runs here */
        SINGLETON_STARTING,             /* the leader unit is */
        SINGLETON_LEADING,              /* the leader unit runs */
        SINGLETON_STOPPING,             /* until its units have ended */
} SingletonPhase;

/* What follows once its units have ended. */
typedef enum SingletonOutcome {
        OUTCOME_AGAIN,                  /* it stands again */
        OUTCOME_BACK,                   /* it stands back first */
        OUTCOME_STOPPED,                /* by an administrator: until it is started again */
        OUTCOME_ASK,                    /* the leader unit has ended by itself: how its units ended says which */
        OUTCOME_KEEP,                   /* it keeps its place in the queue */
} SingletonOutcome;

typedef struct Singleton {
        struct Singletons *all;
        char *name, *unit, *candidate_unit, *leader_unit;
        SingletonFile *file;            /* the last that was good; NULL: there was none */
        char *refusal;                  /* why it cannot stand by its settings; NULL: it can */

        UnitRun *candidate_run;         /* NULL: the candidate target is not active */
        sd_id128_t candidate;
        bool held;                      /* by an administrator */
        bool stopped;                   /* the unit was, by one */
        uint64_t back_until_usec;       /* CLOCK_BOOTTIME */
        uint64_t retry_usec;            /* not before: standing failed */
        uint64_t yielded_usec;          /* when it last let a preferred host go first */
        StandBack back;
        char *why;                      /* the state, as a sentence; NULL: nothing to be said */

        SingletonPhase phase;
        SingletonOutcome outcome;       /* of STOPPING */
        Stand *stand;                   /* NULL: it does not stand */
        Leadership *leadership;         /* NULL: it does not lead */
        uint64_t since_usec;            /* STARTING, LEADING: since then */
        bool unit_seen;                 /* ... the unit itself was active */
        bool told_to_stop;              /* ... since it was started last: the unit was, by somebody else's job */
        bool guard_failed, unit_failed; /* STOPPING: as it was seen */
        unsigned looks;                 /* STOPPING: without an end */
        char **bound;                   /* STOPPING: units bound to the leader unit, what a timer or socket starts among them */
        unsigned bound_over;            /* ... so many of them have ended */
        UnitJob *job;
        UnitJob *asked;                 /* what kind of job somebody else has queued for the unit */
        UnitJob *measuring;             /* how long its unit may take to stop */
        char *doubt;                    /* that this is longer than was promised, as a sentence; NULL: it is not */
        UnitLookup *lookup;
        UnitRun *leader_run;
        sd_event_source *timer;         /* the next look */
} Singleton;

struct Singletons {
        sd_event *event;
        Member *member;
        Units *units;
        Server *server;
        char **directories;             /* of the settings */
        char *leader_directory, *stopped_directory, *held_directory;
        char *host;
        uint32_t heartbeat_msec;
        SingletonSet *set;
        GPtrArray *problems;            /* char* */
        GHashTable *by_name;            /* Singleton.name -> Singleton */
        bool begun;
        const char *stopping;           /* why this host stands in no election; NULL: it does */
        void (*stopped)(void *userdata);
        void *stopped_userdata;
        sd_event_source *patience;      /* stopping: nothing runs any more, but the ensemble has not confirmed that this host has resigned */
};

/* singleton.c */
Singleton *singleton_new(Singletons *all, const char *name, SingletonPhase phase);
void singleton_free(Singleton *s);
void singleton_wake(Singleton *s);                      /* it looks soon */
void singleton_set_file(Singleton *s, const SingletonFile *file);
void singleton_set_candidate(Singleton *s, sd_id128_t invocation);
void singleton_on_unit_started(Singleton *s);
void singleton_on_job_queued(Singleton *s, const char *job);    /* for the unit */
void singleton_let_go(Singleton *s);                    /* stopped, and standing back, no more */
void singleton_adopt(Singleton *s, Stand *stand);       /* RECOVERING */
bool singleton_is_over(const Singleton *s);             /* nothing is left of it */
const char *singleton_state(const Singleton *s);        /* as org.convene1.Singletons has it */

void singleton_tell(const Singleton *s, int priority, const char *message_id, const char *text);        /* the journal */

/* singleton-stop.c */
void singleton_check_stop(Singleton *s);

/* singletons.c */
void singletons_on_idle(Singletons *all);               /* nothing of one runs any more */
