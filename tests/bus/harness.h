/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Harness
 *
 * Starts a real convened on a directory of its own, with its local socket and, if asked for, a private dbus-daemon as its
 * system bus, and talks to it.  The same tests run over both: a Peer is a connection of either kind.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <systemd/sd-bus.h>

#define NOBODY 65534
#define TREE "org.convene1.Tree"
#define WATCHES "org.convene1.Watches"
#define SESSIONS "org.convene1.Sessions"
#define STAT "(tttxxiiitii)"
#define NO_NODE "org.convene1.Error.NoNode"
#define NO_AUTH "org.convene1.Error.NoAuth"
#define BAD_ARGUMENTS "org.convene1.Error.BadArguments"
#define LIMIT_EXCEEDED "org.convene1.Error.LimitExceeded"
#define NOT_READY "org.convene1.Error.NotReady"
#define SESSION_EXPIRED "org.convene1.Error.SessionExpired"

typedef struct Agent {
        char *directory, *socket, *conf;
        GPid pid;
        GPid broker_pid;                /* 0: none */
        char *broker_address;
} Agent;

/* Set by main() from the command line. */
extern const char *convened_path, *dbus_daemon_path;    /* the latter NULL: over the local socket */

/* `limits`: lines for the [Limits] section, or NULL. */
Agent *agent_new(const char *limits);
void agent_start(Agent *a);
void agent_stop(Agent *a, int signal);
Agent *agent_free(Agent *a);
bool agent_is_running(const Agent *a);
uint64_t agent_statistic(Agent *a, const char *name);

/* A connection, of this uid if it is not ours; over the broker if there is one, unless `socket`. */
sd_bus *peer_new(Agent *a);
sd_bus *peer_new_as(Agent *a, uid_t uid);
sd_bus *peer_new_socket(Agent *a);
void peer_free(sd_bus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus, peer_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(sd_bus_message, sd_bus_message_unref)

/* A connected descriptor with the SASL part done, for bytes that no library would send. */
int raw_new(Agent *a);

/* What came, in order: "reply LABEL", "error LABEL NAME", "event NUMBER TYPE PATH SPENT", "ended SESSION EXPIRED", "granted TOKEN PATH". */
typedef struct Record {
        GPtrArray *lines;
        unsigned replies;
} Record;

/* Calls and fails the test on an error. */
sd_bus_message *call(sd_bus *bus, const char *interface, const char *member, const char *types, ...);
/* Calls and wants this error; returns its text (g_free). */
char *call_fails(sd_bus *bus, const char *error, const char *interface, const char *member, const char *types, ...);
/* Calls without waiting; the reply goes to the peer's Record. */
void call_later(sd_bus *bus, Record *record, const char *label, const char *interface, const char *member,
                const char *types, ...);

/* The same for a message that has been made. */
void send_later(sd_bus *bus, Record *record, const char *label, sd_bus_message *m);

/* Makes a persistent znode that everybody may do everything with. */
void make_open(sd_bus *bus, const char *path);
bool exists(sd_bus *bus, const char *path);
/* Waits until a znode is there, or not. */
void wait_exists(sd_bus *bus, const char *path, bool wanted);

Record *record_new(sd_bus *bus);        /* listens to the signals */
void record_free(Record *r);
/* Waits until there are so many lines (of any kind). */
void record_wait(sd_bus *bus, Record *r, unsigned lines);
#define record_line(r, i) ((const char *) g_ptr_array_index((r)->lines, i))
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Record, record_free)

/* The tests, by file. */
void add_tree_tests(void);
void add_acl_tests(void);
void add_multi_tests(void);
void add_watch_tests(void);
void add_session_tests(void);
void add_limit_tests(void);
void add_lock_tests(void);
void add_recipe_tests(void);
void add_hostile_tests(void);
void add_polkit_tests(void);
void add_broker_tests(void);

/* The agent that tests share. */
extern Agent *shared;
