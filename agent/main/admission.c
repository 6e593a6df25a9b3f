/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Admission
 *
 * Who comes with a token (tokens.c).  To let somebody in: the znode of the token must be there, below one that members alone write to,
 * and not be over; deleting it makes the token used, once, whoever else tries at the same time; then the configuration gets an
 * observer.
 *
 * The name of a member is taken over only with a token that was made for it, and only while that member is away.
 */

#include <string.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define TOKENS_PENDING_MAX 64           /* who asks to join at a time */

/*
 * Somebody comes
 */

#define CHANGE_AGAIN_USEC UINT64_C(200000)
#define CHANGE_PATIENCE_USEC UINT64_C(45000000)         /* the joiner waits for 60 s */

typedef struct Admission {
        Agent *agent;
        PeerJoin *join;                 /* NULL: it has gone */
        char *name, *address, *path;
        Id128 disk_id;
        uint8_t pin[NET_PIN_BYTES];
        bool for_its_name;              /* the token is for a host of this name */
        sd_event_source *again;
        uint64_t until_usec;            /* once the token is used: to go on trying */
} Admission;

static void admission_free(void *admission) {
        Admission *d = admission;

        sd_event_source_disable_unref(d->again);
        g_free(d->name);
        g_free(d->address);
        g_free(d->path);
        g_free(d);
}

GPtrArray *admissions_new(void) {
        return g_ptr_array_new_with_free_func(admission_free);
}

static void admission_end(Admission *d) {
        g_ptr_array_remove(d->agent->admissions, d);
}

static void refuse(Admission *d, const char *text) {
        if (d->join) {
                journal(LOG_WARNING, CONVENE_MESSAGE_PEER_REFUSED, "%s asked to join and was refused: %s", d->name, text);
                peer_join_answer(d->join, 0, NULL, text);
        }
        admission_end(d);
}

static void put_off(Admission *d, const char *text) {
        if (d->join) {
                journal(LOG_NOTICE, CONVENE_MESSAGE_PEER_REFUSED, "%s asked to join and was put off: %s", d->name, text);
                peer_join_put_off(d->join, text);
        }
        admission_end(d);
}

/* Of a request about its token, which is as good as before. */
static void refuse_for_status(Admission *d, ConveneStatus status) {
        if (status == CONVENE_NO_NODE)
                refuse(d, "this token is not known: it was used, has expired, or is of another ensemble");
        else if (status == CONVENE_NOT_READY || status == CONVENE_NO_SPACE)
                put_off(d, convene_status_describe(status));
        else
                refuse(d, convene_status_describe(status));
}

/* A host that was here before, by its name, comes with a new disk. */
static const ZabConfigMember *find_name(const ZabConfig *c, const char *name) {
        for (unsigned i = 0; c && i < c->members_count; i++)
                if (strcmp(c->members[i].name, name) == 0)
                        return &c->members[i];

        return NULL;
}

static const ZabConfigMember *find_disk(const ZabConfig *c, const Id128 *disk_id) {
        for (unsigned i = 0; c && i < c->members_count; i++)
                if (memcmp(c->members[i].disk_id.bytes, disk_id->bytes, sizeof(disk_id->bytes)) == 0)
                        return &c->members[i];

        return NULL;
}

/* Two hosts of one name: the one that is there stays. */
bool admission_is_there(const Agent *a, const char *name) {
        const ZabConfigMember *same;
        PeerStatus peer;
        MemberStatus s;

        member_get_status(a->member, &s);
        same = find_name(s.config, name);
        return same && (same->sid == s.sid || (peer_mesh_get_status(a->mesh, same->sid, &peer) && peer.connected));
}

/* Its name is that of identities and ACLs, too: whoever has any token is not to come by it while its owner is away. */
static char *name_trouble(const Admission *d) {
        MemberStatus s;

        if (admission_is_there(d->agent, d->name))
                return g_strdup("a member of this name is connected; set another Name= in convened.conf");

        member_get_status(d->agent->member, &s);
        if (!d->for_its_name && find_name(s.config, d->name))
                return g_strdup_printf("%s is the name of a member that is away: if this host takes its place, 'convenectl member add %s' on a "
                                       "member makes a token for that; if not, set another Name= in convened.conf", d->name, d->name);
        return NULL;
}

static void taken_up(Admission *d, const ZabConfigMember *m) {
        g_autoptr(GBytes) config = NULL;
        ZabPosition position;

        member_get_applied(d->agent->member, &position, &config);
        journal(LOG_NOTICE, CONVENE_MESSAGE_MEMBER_JOINED, "%s joined as member %u, an observer", m->name, m->sid);
        if (d->join)
                peer_join_answer(d->join, m->sid, config, NULL);
        admission_end(d);
}

static void change(Admission *d);

/* Once more, unless it has been taken up: what became of the change is known only after a read that everybody's changes before
 * it show in. */
static void on_settled(void *userdata, const Result *result) {
        Admission *d = userdata;
        const ZabConfigMember *m;
        MemberStatus s;

        member_get_status(d->agent->member, &s);
        m = find_disk(s.config, &d->disk_id);
        if (m)
                taken_up(d, m);
        else
                change(d);
}

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Admission *d = userdata;

        own_submit(d->agent->own, &(Request) { .op = REQUEST_GET_DATA, .path = "/" }, MEMBER_LINEARIZABLE, on_settled, d);
        return 0;
}

/* Whoever else changes the membership, or a new leader, is done with soon, and the token is used: it is not sent away for that. */
static bool try_again(Admission *d, ConveneStatus status) {
        if ((status != CONVENE_RECONFIG_IN_PROGRESS && status != CONVENE_NEW_CONFIG_NO_QUORUM && status != CONVENE_NOT_READY) ||
            agent_clock_usec(CLOCK_BOOTTIME) >= d->until_usec)
                return false;

        d->again = sd_event_source_disable_unref(d->again);
        return sd_event_add_time_relative(d->agent->event, &d->again, CLOCK_BOOTTIME, CHANGE_AGAIN_USEC, 0, on_again, d) >= 0;
}

static void on_changed(void *userdata, const Result *result) {
        Admission *d = userdata;
        const ZabConfigMember *m;
        MemberStatus s;

        member_get_status(d->agent->member, &s);
        m = find_disk(s.config, &d->disk_id);
        if (result->status == CONVENE_OK && m)
                taken_up(d, m);
        else if (result->status == CONVENE_OK)
                refuse(d, "it was taken up and removed again");
        else if (!try_again(d, result->status)) {
                g_autofree char *trouble = name_trouble(d);
                g_autofree char *text = g_strdup_printf("the token is used, but the ensemble could not take this host up: %s; make "
                                                        "another token and try again", trouble ?: convene_status_describe(result->status));

                refuse(d, text);
        }
}

/* The token is used: another one of this name may have come in just then. */
static void change(Admission *d) {
        g_autofree char *trouble = name_trouble(d);
        MemberChange change = { .op = MEMBER_CHANGE_ADD };
        const ZabConfigMember *same;
        MemberStatus s;

        if (trouble) {
                g_autofree char *text = g_strdup_printf("the token is used, but meanwhile %s", trouble);

                refuse(d, text);
                return;
        }

        member_get_status(d->agent->member, &s);
        same = find_name(s.config, d->name);
        if (same)
                change.op = MEMBER_CHANGE_REPLACE;
        change.member = (ZabConfigMember) {
                .sid = same ? same->sid : 0,
                .disk_id = d->disk_id,
                .role = ZAB_MEMBER_OBSERVER,
                .name = d->name,
                .address = d->address,
                .pin = d->pin,
                .pin_size = sizeof(d->pin),
        };
        own_change(d->agent->own, &change, on_changed, d);
}

static void on_used(void *userdata, const Result *result) {
        Admission *d = userdata;

        if (result->status == CONVENE_NO_NODE)
                refuse(d, "this token has been used");
        else if (result->status != CONVENE_OK)
                refuse_for_status(d, result->status);
        else {
                d->until_usec = agent_clock_usec(CLOCK_BOOTTIME) + CHANGE_PATIENCE_USEC;
                change(d);
        }
}

/* Whether the clocks of members agree is what a host that is told "expired" right away has to look at. */
static char *describe_expired(int64_t ago_msec) {
        return g_strdup_printf("this token expired %" PRId64 " s ago by this member's clock; 'convenectl member token' makes another; "
                               "if it has just been made, compare the clocks of the members (timedatectl)", ago_msec / 1000);
}

static char *token_trouble(const Admission *d, int64_t until_msec, const char *name) {
        if (until_msec < tokens_wall_msec())
                return describe_expired(tokens_wall_msec() - until_msec);
        if (name && strcmp(name, d->name) != 0)
                return g_strdup_printf("this token is for a host named %s, and this one is %s; set Name= in convened.conf, or make another "
                                       "token", name, d->name);
        return name_trouble(d);
}

static void on_trusted(void *userdata, const Result *result) {
        Admission *d = userdata;

        if (tokens_are_ours(result))
                own_submit(d->agent->own, &(Request) { .op = REQUEST_DELETE, .path = d->path, .version = VERSION_ANY }, 0, on_used, d);
        else
                refuse(d, "the ensemble's place for tokens was made or changed by somebody else, and none of them is trusted; "
                       "'convenectl member token' on a member mends that, and makes another");
}

static void on_looked(void *userdata, const Result *result) {
        Admission *d = userdata;
        g_autofree char *text = NULL, *trouble = NULL;
        int64_t until_msec;
        char *name;

        if (result->status != CONVENE_OK) {
                refuse_for_status(d, result->status);
                return;
        }

        text = g_strndup((const char *) result->data, result->data_size);
        until_msec = g_ascii_strtoll(text, &name, 10);
        d->for_its_name = *name == ' ' && strcmp(name + 1, d->name) == 0;
        trouble = token_trouble(d, until_msec, *name == ' ' ? name + 1 : NULL);
        if (trouble)
                refuse(d, trouble);
        else
                tokens_look(d->agent, on_trusted, d);
}

/* One that was taken up and interrupted before it had noted that, by its name, key and disk, comes again: its token is used, but
 * nobody else can be it, and it has promised nothing yet. */
static bool was_taken_up(Agent *a, PeerJoin *join, const PeerJoinRequest *request) {
        g_autoptr(GBytes) config = NULL;
        const ZabConfigMember *m;
        ZabPosition position;
        MemberStatus s;

        member_get_status(a->member, &s);
        m = find_disk(s.config, &request->disk_id);
        if (!m || m->role != ZAB_MEMBER_OBSERVER || strcmp(m->name, request->name) != 0 || m->pin_size != sizeof(request->pin) ||
            memcmp(m->pin, request->pin, sizeof(request->pin)) != 0)
                return false;

        member_get_applied(a->member, &position, &config);
        journal(LOG_NOTICE, CONVENE_MESSAGE_MEMBER_JOINED, "%s, member %u, asked to join again, having been interrupted", m->name, m->sid);
        peer_join_answer(join, m->sid, config, NULL);
        return true;
}

/* Somebody of this name is being let in: itself, after its connection broke, or another one. */
static bool is_being_let_in(const Agent *a, PeerJoin *join, const PeerJoinRequest *request) {
        for (guint i = 0; i < a->admissions->len; i++) {
                const Admission *d = g_ptr_array_index(a->admissions, i);

                if (strcmp(d->name, request->name) != 0)
                        continue;
                if (memcmp(&d->disk_id, &request->disk_id, sizeof(d->disk_id)) == 0)
                        peer_join_put_off(join, "this host is being let in already");
                else
                        peer_join_answer(join, 0, NULL, "another host of this name is being let in; set another Name= in convened.conf");
                return true;
        }

        return false;
}

void admission_ask(Agent *a, PeerJoin *join, const PeerJoinRequest *request) {
        Admission *d;

        if (a->admissions->len >= TOKENS_PENDING_MAX) {
                peer_join_put_off(join, "too many hosts ask to join at the moment");
                return;
        }
        if (!conf_host_name_is_valid(request->name)) {
                peer_join_answer(join, 0, NULL, "its name is no host name; set Name= in convened.conf");
                return;
        }
        if (admission_is_there(a, request->name)) {
                peer_join_answer(join, 0, NULL, "a member of this name is connected; set another Name= in convened.conf");
                return;
        }
        if (was_taken_up(a, join, request))
                return;
        if (is_being_let_in(a, join, request))
                return;

        d = g_new0(Admission, 1);
        *d = (Admission) {
                .agent = a,
                .join = join,
                .name = g_strdup(request->name),
                .address = g_strdup(request->address),
                .path = tokens_path(request->secret_hash),
                .disk_id = request->disk_id,
        };
        memcpy(d->pin, request->pin, sizeof(d->pin));
        g_ptr_array_add(a->admissions, d);
        own_submit(a->own, &(Request) { .op = REQUEST_GET_DATA, .path = d->path }, MEMBER_LINEARIZABLE, on_looked, d);
}

void admission_cancelled(Agent *a, PeerJoin *join) {
        for (guint i = 0; i < a->admissions->len; i++) {
                Admission *d = g_ptr_array_index(a->admissions, i);

                if (d->join == join)
                        d->join = NULL;
        }
}
