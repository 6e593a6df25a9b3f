/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Units fixture
 *
 * Units on a scripted bus, systemd's lines of the script, and what the tests are told.
 */

#include "agent/host/units.h"
#include "tests/unit/bus-script.h"

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER "/org/freedesktop/systemd1"
#define SYSTEMD_OWNER ":1.1"
#define UNIT "app.service"
#define UNIT_PATH "/org/freedesktop/systemd1/unit/app_2eservice"

/* Of three runs. */
#define RUN_1 { { 0x11, 1 } }
#define RUN_2 { { 0x22, 2 } }
#define RUN_3 { { 0x33, 3 } }
static const sd_id128_t run_1 = RUN_1, run_2 = RUN_2, run_3 = RUN_3;

typedef struct Fixture {
        sd_event *event;
        Script *script;
        Units *units;
        GString *log;                   /* what was told: "started UNIT;", "ended LABEL;" */
} Fixture;

typedef struct Found {
        unsigned count;
        int error;
        char *unit, *active_state;
        sd_id128_t invocation;
} Found;

/* For g_test_add(). */
void set_up(Fixture *f, gconstpointer unused);
void tear_down(Fixture *f, gconstpointer unused);

/* Lets everything happen; then `log` must be this, and is emptied. */
void assert_log(Fixture *f, const char *wanted);

/* The bus is there, and systemd on it; another connection in place of that one, not given to `units` yet. */
void connect_bus(Fixture *f);
void change_bus(Fixture *f);

/* A call of the manager, which activates nothing; and the answers, each to the next call, which must be that. */
sd_bus_message *expect_manager(Fixture *f, const char *member);
void expect_find_owner(Fixture *f, const char *owner);          /* NULL: nobody */
void expect_subscribe(Fixture *f);
sd_bus_message *expect_invocation(Fixture *f, sd_id128_t wanted);
void expect_properties(Fixture *f, const char *id, sd_id128_t invocation, const char *active, const char *sub);
void expect_running(Fixture *f, sd_id128_t run);                /* the run is asked for, and runs */

/* PropertiesChanged; what is NULL is not in it. */
void change_from(Fixture *f, const char *sender, const char *path, const sd_id128_t *invocation, const char *active,
                 const char *sub);
void change(Fixture *f, sd_id128_t invocation, const char *active, const char *sub);    /* systemd, about UNIT */

/* For UnitLookupDone, with a Found; and that it was called once, with this error. */
void on_found(void *userdata, int error, const UnitFacts *facts);
void assert_found(Fixture *f, Found *r, int error);
