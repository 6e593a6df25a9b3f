/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presences
 *
 * One Holding per run of a unit and declaration.  Each goes through: look whether the znode is there; open a session bound to
 * the run; make missing parents; make the ephemeral; hold it, and begin again if it is deleted while the run
 * lasts.  A znode that another run still has (the one before a restart) is waited out with a watch.
 */

#include "agent/main/presences.h"

#include <assert.h>
#include <string.h>

#include "agent/base/messages.h"
#include "agent/main/journal.h"

#define RETRY_USEC (UINT64_C(10) * 1000 * 1000)
#define RETRY_ACCURACY 10               /* of the interval, as its divisor */

typedef enum HoldingState {
        HOLDING_IDLE,                   /* to be looked at */
        HOLDING_LOOKING,                /* EXISTS is under way */
        HOLDING_OPENING,                /* the session is */
        HOLDING_ASKING_ACL,             /* GET_ACL of an ancestor is */
        HOLDING_MAKING_PARENT,
        HOLDING_CREATING,
        HOLDING_HELD,
        HOLDING_BLOCKED,                /* waits for the znode of somebody else to go */
        HOLDING_FAILED,                 /* until it is tried again */
} HoldingState;

typedef struct Holding {
        Presences *presences;
        uint64_t number;                /* tag and watch number */
        HoldingState state;
        char *unit;
        sd_id128_t invocation;
        const Presence *declaration;    /* NULL once it is no longer declared */
        char *file;
        PresenceZnode znode;
        uint32_t timeout_msec;          /* asked for */
        UnitRun *run;
        uint64_t session;
        char *error;
        size_t prefix;                  /* ASKING_ACL, MAKING_PARENT: bytes of the ancestor's path */
        AclEntry *acl;                  /* of the nearest ancestor that exists; owned, deep */
        uint32_t acl_count;
        bool restart;                   /* look again when the request under way is answered */
        bool gone;                      /* the run is over or the declaration is: free then */
} Holding;

struct Presences {
        PresencesOptions options;
        Member *member;
        Units *units;
        Server *server;
        MemberClient *client;
        PresenceSet *set;
        PresenceHost host;
        Identity self;
        GPtrArray *problems;            /* char* */
        GPtrArray *holdings;            /* Holding* */
        GHashTable *by_number;
        uint64_t next_number;
        sd_event_source *work, *retry;
};

/* A voter's agent has every right; an observer's vouches for its own host and no more, so that an administrator has to give
 * host:NAME the right to create what is declared there. */
static Identities self_identities(Presences *p) {
        MemberStatus s;

        member_get_status(p->member, &s);
        p->self = s.voter ? (Identity) { "super", "convened" } : (Identity) { "host", p->host.name };
        return (Identities) { &p->self, 1 };
}

static void look(Holding *h);

static void retry_later(Presences *p) {
        if (sd_event_source_get_enabled(p->retry, NULL) > 0)
                return;
        (void) sd_event_source_set_time_relative(p->retry, p->options.retry_usec);
        (void) sd_event_source_set_enabled(p->retry, SD_EVENT_ONESHOT);
}

/* Most of what can be wrong passes without anybody's telling: a full disk, a leader that is missed, a parent that is not there
 * yet.  So it is tried again, and said once. */
static void holding_fail(Holding *h, HoldingState state, char *error) {
        if (g_strcmp0(h->error, error) != 0)
                journal(LOG_WARNING, NULL, "Presence of %s at %s (%s): %s", h->unit, h->znode.path, h->file, error);
        g_free(h->error);
        h->error = error;
        h->state = state;
        if (state == HOLDING_FAILED)
                retry_later(h->presences);
}

static void acl_clear(Holding *h) {
        for (uint32_t i = 0; i < h->acl_count; i++) {
                g_free((char *) h->acl[i].who.scheme);
                g_free((char *) h->acl[i].who.id);
        }
        g_clear_pointer(&h->acl, g_free);
        h->acl_count = 0;
}

static void acl_copy(Holding *h, AclEntries from) {
        acl_clear(h);
        h->acl = g_new(AclEntry, from.count);
        h->acl_count = from.count;
        for (uint32_t i = 0; i < from.count; i++)
                h->acl[i] = (AclEntry) {
                        .permissions = from.items[i].permissions,
                        .who = { g_strdup(from.items[i].who.scheme), g_strdup(from.items[i].who.id) },
                };
}

static void holding_free(Holding *h) {
        unit_run_free(h->run);
        acl_clear(h);
        presence_znode_done(&h->znode);
        g_free(h->unit);
        g_free(h->file);
        g_free(h->error);
        g_free(h);
}

static bool is_waiting(const Holding *h) {
        return h->state == HOLDING_IDLE || h->state == HOLDING_HELD || h->state == HOLDING_BLOCKED ||
               h->state == HOLDING_FAILED;
}

static void wake(Presences *p) {
        (void) sd_event_source_set_enabled(p->work, SD_EVENT_ONESHOT);
}

/* Outside any call of the member: begins again where something happened. */
static int on_work(sd_event_source *source, void *userdata) {
        Presences *p = userdata;

        for (guint i = 0; i < p->holdings->len;) {
                Holding *h = p->holdings->pdata[i];

                if (h->gone && is_waiting(h)) {
                        if (h->session != 0)
                                journal(LOG_INFO, CONVENE_MESSAGE_PRESENCE_REMOVED, "%s is no longer present at %s",
                                        h->unit, h->znode.path);
                        (void) member_unwatch(p->client, h->number, NULL, 0);
                        g_hash_table_remove(p->by_number, &h->number);
                        g_ptr_array_remove_index_fast(p->holdings, i);
                        continue;
                }
                if (h->restart && is_waiting(h)) {
                        h->restart = false;
                        look(h);
                }
                i++;
        }

        return 0;
}

static void restart(Holding *h) {
        h->restart = true;
        wake(h->presences);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Presences *p = userdata;

        for (guint i = 0; i < p->holdings->len; i++) {
                Holding *h = p->holdings->pdata[i];

                if (h->state == HOLDING_FAILED && !h->gone)
                        restart(h);
        }
        return 0;
}

static void submit(Holding *h, Request *r, uint64_t watch) {
        member_submit(h->presences->client, h->number, r, watch, 0);
}

static void look(Holding *h) {
        h->state = HOLDING_LOOKING;
        submit(h, &(Request) {
                .op = REQUEST_EXISTS,
                .path = h->znode.path,
                .caller = self_identities(h->presences),
        }, h->number);
}

static void create(Holding *h) {
        g_autofree AclEntry *acl = g_new(AclEntry, MAX(h->znode.acl_count, h->acl_count));
        uint32_t count = h->acl_count;

        if (count > 0)
                memcpy(acl, h->acl, count * sizeof(*acl));
        if (h->znode.acl_count > 0) {
                count = h->znode.acl_count;
                for (uint32_t i = 0; i < count; i++)
                        acl[i] = (AclEntry) { h->znode.acl[i].permissions,
                                              { h->znode.acl[i].scheme, h->znode.acl[i].id } };
        }

        h->state = HOLDING_CREATING;
        submit(h, &(Request) {
                .op = REQUEST_CREATE,
                .session = h->session,
                .path = h->znode.path,
                .data = (const uint8_t *) h->znode.data,
                .data_size = strlen(h->znode.data),
                .acl = { acl, count },
                .mode = CREATE_EPHEMERAL,
        }, 0);
}

/* The path's first `prefix` bytes; "/" for 0. */
static char *ancestor(const Holding *h) {
        return h->prefix == 0 ? g_strdup("/") : g_strndup(h->znode.path, h->prefix);
}

static void ask_acl(Holding *h) {
        g_autofree char *path = ancestor(h);

        h->state = HOLDING_ASKING_ACL;
        submit(h, &(Request) { .op = REQUEST_GET_ACL, .path = path, .caller = self_identities(h->presences) }, 0);
}

static void ask_parent_acl(Holding *h) {
        h->prefix = strrchr(h->znode.path, '/') - h->znode.path;
        ask_acl(h);
}

/* From the ancestor that exists (`prefix`) one level down. */
static void make_next(Holding *h) {
        const char *slash = strchr(h->znode.path + h->prefix + 1, '/');
        g_autofree char *path = NULL;

        if (!slash) {
                create(h);
                return;
        }

        h->prefix = slash - h->znode.path;
        path = ancestor(h);
        h->state = HOLDING_MAKING_PARENT;
        submit(h, &(Request) {
                .op = REQUEST_CREATE,
                .path = path,
                .acl = { h->acl, h->acl_count },
                .mode = CREATE_PERSISTENT,
                .data = (const uint8_t *) "",
                .caller = self_identities(h->presences),
        }, 0);
}

static void on_opened(void *userdata, ConveneStatus status, uint64_t session) {
        Holding *h = userdata;

        h->session = session;
        h->state = HOLDING_IDLE;
        if (h->gone) {
                /* The run goes on perhaps, and with it a session that nobody wants any more. */
                server_close_unit_session(h->presences->server, session);
                wake(h->presences);
                return;
        }
        if (status != CONVENE_OK) {
                holding_fail(h, HOLDING_FAILED, g_strdup(convene_status_describe(status)));
                return;
        }
        ask_parent_acl(h);
}

static void open_session(Holding *h) {
        UnitFacts facts = { .unit = h->unit, .invocation = h->invocation, .active_state = "active" };

        h->state = HOLDING_OPENING;
        server_open_unit_session(h->presences->server, &facts, h->declaration->timeout_msec, on_opened, h);
}

/* Whether the session is of the very run that is to be present: after a restart of the agent. */
static bool is_ours(const Holding *h, uint64_t session) {
        char invocation[SD_ID128_STRING_MAX];
        g_autofree char *owner = g_strdup_printf("%s %s", h->unit, sd_id128_to_string(h->invocation, invocation));
        SessionInfo info;

        return tree_get_session(member_get_tree(h->presences->member), session, &info) &&
               info.owner_kind == OWNER_UNIT && g_str_equal(info.owner, owner);
}

static void on_looked(Holding *h, const Result *r) {
        if (r->status == CONVENE_NO_NODE) {
                if (h->session == 0)
                        open_session(h);
                else
                        ask_parent_acl(h);
                return;
        }
        if (r->status != CONVENE_OK) {
                holding_fail(h, HOLDING_FAILED, g_strdup(convene_status_describe(r->status)));
                return;
        }
        if (r->stat.ephemeral_owner != 0 && (r->stat.ephemeral_owner == h->session ||
                                             is_ours(h, r->stat.ephemeral_owner))) {
                h->session = r->stat.ephemeral_owner;
                h->state = HOLDING_HELD;
                g_clear_pointer(&h->error, g_free);
                return;
        }
        if (r->stat.ephemeral_owner != 0) {
                h->state = HOLDING_BLOCKED;     /* most likely of the run before this one */
                g_clear_pointer(&h->error, g_free);
        } else
                holding_fail(h, HOLDING_BLOCKED, g_strdup("a znode that is no ephemeral stands there; delete it"));
}

static void on_acl(Holding *h, const Result *r) {
        if (r->status == CONVENE_OK) {
                acl_copy(h, r->acl);
                make_next(h);
        } else if (r->status == CONVENE_NO_NODE && h->declaration->create_parents && h->prefix > 0) {
                do
                        h->prefix--;
                while (h->znode.path[h->prefix] != '/');
                ask_acl(h);
        } else
                holding_fail(h, HOLDING_FAILED, g_strdup(r->status == CONVENE_NO_NODE ?
                                                         "the parent does not exist and CreateParents=no" :
                                                         convene_status_describe(r->status)));
}

static void on_created(Holding *h, const Result *r) {
        switch (r->status) {
        case CONVENE_OK:
        case CONVENE_NODE_EXISTS:
                if (r->status == CONVENE_OK)
                        journal(LOG_INFO, CONVENE_MESSAGE_PRESENCE_CREATED, "%s is present at %s", h->unit, h->znode.path);
                look(h);                /* which also sets the watch */
                break;
        case CONVENE_SESSION_EXPIRED:
                h->session = 0;
                look(h);
                break;
        default:
                holding_fail(h, HOLDING_FAILED, g_strdup(convene_status_describe(r->status)));
        }
}

static void on_reply(void *userdata, uint64_t tag, const Result *r) {
        Presences *p = userdata;
        Holding *h = g_hash_table_lookup(p->by_number, &tag);
        HoldingState state;

        if (!h)
                return;

        state = h->state;
        h->state = HOLDING_IDLE;
        if (h->gone) {
                wake(p);
                return;
        }

        switch (state) {
        case HOLDING_LOOKING:
                on_looked(h, r);
                break;
        case HOLDING_ASKING_ACL:
                on_acl(h, r);
                break;
        case HOLDING_MAKING_PARENT:
                if (r->status == CONVENE_OK || r->status == CONVENE_NODE_EXISTS)
                        make_next(h);
                else
                        holding_fail(h, HOLDING_FAILED, g_strdup(convene_status_describe(r->status)));
                break;
        case HOLDING_CREATING:
                on_created(h, r);
                break;
        default:
                break;
        }
        if (h->restart)
                wake(p);
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        Presences *p = userdata;
        Holding *h = g_hash_table_lookup(p->by_number, &watch);

        if (h && !h->gone)
                restart(h);
}

static const MemberFront front = { .reply = on_reply, .event = on_event };

static void on_run_ended(void *userdata, const char *why) {
        Holding *h = userdata;

        h->gone = true;
        wake(h->presences);
}

static Holding *find(Presences *p, const char *unit, sd_id128_t invocation, const char *file) {
        for (guint i = 0; i < p->holdings->len; i++) {
                Holding *h = p->holdings->pdata[i];

                if (!h->gone && sd_id128_equal(h->invocation, invocation) && g_str_equal(h->unit, unit) &&
                    g_str_equal(h->file, file))
                        return h;
        }

        return NULL;
}

static void begin(Presences *p, const UnitFacts *facts, const Presence *declaration) {
        g_auto(PresenceZnode) znode = { 0 };
        g_autofree char *error = NULL;
        Holding *h;

        if (!presence_expand(declaration, facts->unit, &p->host, &znode, &error)) {
                journal(LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, "%s; %s stays absent", error, facts->unit);
                return;
        }

        h = g_new0(Holding, 1);
        h->presences = p;
        h->number = ++p->next_number;
        h->unit = g_strdup(facts->unit);
        h->invocation = facts->invocation;
        h->declaration = declaration;
        h->file = g_strdup(declaration->file);
        h->znode = znode;
        h->timeout_msec = declaration->timeout_msec;
        znode = (PresenceZnode) { 0 };
        g_ptr_array_add(p->holdings, h);
        g_hash_table_insert(p->by_number, &h->number, h);
        h->run = units_watch_run(p->units, h->unit, h->invocation, on_run_ended, h);
        restart(h);
}

static bool is_wanted(void *userdata, const char *unit) {
        Presences *p = userdata;

        return p->set && presence_set_match(p->set, unit, NULL);
}

static void on_started(void *userdata, const UnitFacts *facts) {
        Presences *p = userdata;

        for (const Presence *d = presence_set_match(p->set, facts->unit, NULL); d;
             d = presence_set_match(p->set, facts->unit, d))
                if (!find(p, facts->unit, facts->invocation, d->file))
                        begin(p, facts, d);
}

Presences *presences_new(sd_event *event, Member *member, Units *units, Server *server, const PresencesOptions *options) {
        Presences *p = g_new0(Presences, 1);

        p->options = *options;
        if (p->options.retry_usec == 0)
                p->options.retry_usec = RETRY_USEC;
        p->member = member;
        p->units = units;
        p->server = server;
        p->client = member_client_new(member, &front, p);
        p->problems = g_ptr_array_new_with_free_func(g_free);
        p->holdings = g_ptr_array_new_with_free_func((GDestroyNotify) holding_free);
        p->by_number = g_hash_table_new(g_int64_hash, g_int64_equal);
        presence_host_read(&p->host);
        if (sd_event_add_defer(event, &p->work, on_work, p) < 0)
                g_error("cannot add a source to the event loop");
        (void) sd_event_source_set_enabled(p->work, SD_EVENT_OFF);
        if (sd_event_add_time_relative(event, &p->retry, CLOCK_BOOTTIME, p->options.retry_usec,
                                       p->options.retry_usec / RETRY_ACCURACY, on_retry, p) < 0)
                g_error("cannot add a timer to the event loop");
        (void) sd_event_source_set_enabled(p->retry, SD_EVENT_OFF);
        return p;
}

Presences *presences_free(Presences *p) {
        if (!p)
                return NULL;

        units_set_started(p->units, NULL, NULL, p);
        member_client_free(p->client);
        sd_event_source_disable_unref(p->work);
        sd_event_source_disable_unref(p->retry);
        g_hash_table_unref(p->by_number);
        g_ptr_array_unref(p->holdings);
        presence_set_free(p->set);
        presence_host_done(&p->host);
        g_ptr_array_unref(p->problems);
        g_free(p);
        return NULL;
}

static bool same_acl(const PresenceZnode *a, const PresenceZnode *b) {
        if (a->acl_count != b->acl_count)
                return false;
        for (uint32_t i = 0; i < a->acl_count; i++)
                if (a->acl[i].permissions != b->acl[i].permissions || !g_str_equal(a->acl[i].scheme, b->acl[i].scheme) ||
                    !g_str_equal(a->acl[i].id, b->acl[i].id))
                        return false;
        return true;
}

/* The declaration that a holding came from, in the set just loaded, if it still makes the same znode in the same session.
 * CreateParents= matters only until the znode is there, and is looked up each time. */
static const Presence *still_declared(Presences *p, const Holding *h) {
        for (const Presence *d = presence_set_match(p->set, h->unit, NULL); d;
             d = presence_set_match(p->set, h->unit, d)) {
                g_auto(PresenceZnode) znode = { 0 };
                g_autofree char *error = NULL;

                if (g_str_equal(d->file, h->file) && presence_expand(d, h->unit, &p->host, &znode, &error) &&
                    g_str_equal(znode.path, h->znode.path) && g_str_equal(znode.data, h->znode.data) &&
                    same_acl(&znode, &h->znode) && d->timeout_msec == h->timeout_msec)
                        return d;
        }

        return NULL;
}

void presences_load(Presences *p) {
        PresenceSet *old = p->set;

        g_ptr_array_set_size(p->problems, 0);
        p->set = presence_set_load(p->options.directories ?: PRESENCE_DIRECTORIES, p->problems);
        for (guint i = 0; i < p->problems->len; i++)
                journal(LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, "%s; the file is ignored", (char *) p->problems->pdata[i]);

        for (guint i = 0; i < p->holdings->len; i++) {
                Holding *h = p->holdings->pdata[i];

                h->declaration = still_declared(p, h);
                if (h->declaration) {
                        if (h->state == HOLDING_FAILED)
                                restart(h);
                        continue;
                }
                h->gone = true;
                server_close_unit_session(p->server, h->session);
                wake(p);
        }

        presence_set_free(old);
        units_set_started(p->units, is_wanted, on_started, p);
}

void presences_foreach(Presences *p,
                       void (*each)(void *sink, const char *unit, const char *invocation, const char *path,
                                    uint64_t session, const char *error),
                       void *sink) {
        for (guint i = 0; i < p->holdings->len; i++) {
                const Holding *h = p->holdings->pdata[i];
                char invocation[SD_ID128_STRING_MAX];

                if (!h->gone)
                        each(sink, h->unit, sd_id128_to_string(h->invocation, invocation), h->znode.path, h->session,
                             h->error ?: h->state == HOLDING_BLOCKED ? "another session's znode stands there" : "");
        }
}

const GPtrArray *presences_problems(const Presences *p) {
        return p->problems;
}

void presences_on_session_ended(Presences *p, uint64_t session) {
        for (guint i = 0; i < p->holdings->len; i++) {
                Holding *h = p->holdings->pdata[i];

                if (h->session == session && !h->gone) {
                        h->session = 0;
                        restart(h);
                }
        }
}
