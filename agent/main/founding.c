/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Founding
 *
 * What a host without a store does: it founds an ensemble of its own, or joins one with a token.  The token is single-use, so
 * what the ensemble answers is on the disk before the store says that there is a member.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include "agent/base/messages.h"
#include "agent/main/agent-internal.h"
#include "agent/main/journal.h"

#define ASK_AGAIN_USEC UINT64_C(1000000)

/*
 * The key
 */

static char *key_file(const Agent *a) {
        return g_build_filename(a->conf.data, "key.pem", NULL);
}

static int refuse_key(const char *path, int r) {
        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "Cannot use the member's key %s: %s", path,
                r == -EPERM ? "others may read it; make it 0600" :
                r == -EBADMSG ? "it is no Ed25519 key in PEM; put back a copy of the one that was there; without one, move it away, "
                                "and the next start says what can be done" : strerror(-r));
        return r == -EPERM || r == -EBADMSG ? AGENT_EXIT_CONFIGURATION : AGENT_EXIT_IO;
}

static int save_key(Agent *a) {
        g_autofree char *path = key_file(a);
        int r;

        r = net_key_save(a->key, path);
        return r == 0 ? 0 : refuse_key(path, r);
}

int founding_key(Agent *a) {
        g_autofree char *path = key_file(a);
        int r;

        r = net_key_load(path, &a->key);
        if (r == 0)
                return 0;
        if (r != -ENOENT)
                return refuse_key(path, r);

        a->key = net_key_new();
        if (!a->key)
                return refuse_key(path, -EIO);
        if (store_get_report(a->store)->state == STORE_BLANK)
                return save_key(a);

        a->key_lost = true;             /* founding_check() knows whether there are others */
        return 0;
}

/* Others know this member by the key that is gone: under a new one it would be a stranger to all of them, without end. */
static int replace_lost_key(Agent *a, const ZabConfig *c) {
        g_autofree char *path = key_file(a);

        if (!c || c->members_count > 1) {
                journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "The key of this member, %s, is missing, and the other members know this one by "
                                   "it: put back a copy; if there is none, this host joins anew, with \"convenectl member add %s\" on one of "
                                   "them and \"convenectl join --discard\" here", path, a->host);
                return AGENT_EXIT_CONFIGURATION;
        }

        journal(LOG_WARNING, NULL, "The key of this member, %s, was missing: it has a new one, and tokens that were made with the old one are "
                "worth nothing", path);
        return save_key(a);
}

/*
 * Founding
 */

static int random_id(Id128 *ret) {
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r >= 0)
                memcpy(ret->bytes, id.bytes, sizeof(id.bytes));
        return r;
}

static int create(Agent *a, const ZabMeta *meta) {
        int r;

        r = store_create(a->store, meta);
        if (r >= 0)
                return 0;

        journal_last_words(CONVENE_MESSAGE_IO_ERROR, "Cannot make a store in %s: %s", a->conf.data, strerror(-r));
        return AGENT_EXIT_IO;
}

static int found(Agent *a) {
        ZabMeta meta = { .sid = 1, .membership = ZAB_MEMBERSHIP_MEMBER };
        int r;

        /* One that has lost its store would else give its host an empty tree, and take updates that nobody else hears of. */
        if (!conf_may_found(&a->conf)) {
                journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "The store in %s is blank, and by its configuration this host %s ([Ensemble] %s): "
                                   "if its disk is missing, mount it; else \"convenectl join\" with a token of another member takes it there, "
                                   "\"convenectl init --listen=ADDRESS\" founds another ensemble", a->conf.data,
                                   a->conf.found == 0 ? "belongs to an ensemble" : "is reached by others",
                                   a->conf.found == 0 ? "Found=no" : a->conf.listen ? "Listen=" : "Advertise=");
                return AGENT_EXIT_CONFIGURATION;
        }
        if (random_id(&meta.cluster_id) < 0 || random_id(&meta.disk_id) < 0)
                return AGENT_EXIT_FAILURE;

        r = create(a, &meta);
        if (r == 0)
                journal(LOG_NOTICE, NULL, "The store in %s was blank: founded an ensemble of one", a->conf.data);
        return r;
}

GBytes *founding_config(const Agent *a) {
        const ZabMeta *meta = &store_get_report(a->store)->meta;
        ZabConfigMember self = {
                .sid = meta->sid,
                .disk_id = meta->disk_id,
                .role = ZAB_MEMBER_VOTER,
                .name = a->host,
                .address = a->conf.advertise ?: a->conf.listen ?: "",
                .pin = net_key_pin(a->key),
                .pin_size = NET_PIN_BYTES,
        };

        return zab_config_encode_at(&self, 1, FEATURE_LEVEL);
}

static int check_level(const ZabConfig *c) {
        if (c->feature_level <= FEATURE_LEVEL)
                return 0;

        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "The ensemble is at feature level %u, and this version of convene can do no more than "
                           "%u: install a newer one", c->feature_level, FEATURE_LEVEL);
        return AGENT_EXIT_CONFIGURATION;
}

/* Sessions and identities of this host go by the name that the ensemble has for it: under another one the leader would take nothing
 * from it.  Alone there is nobody to disagree, and links_look() passes the new name on. */
static int check_name(const Agent *a, const ZabConfig *c, uint32_t sid) {
        const ZabConfigMember *self = zab_config_find(c, sid);

        if (!self || c->members_count < 2 || strcmp(self->name, a->host) == 0)
                return 0;

        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "This host is called %s now, and %s in its ensemble: set Name=%s in [Agent] of "
                           "convened.conf; or, to change it, remove %s there and join anew under the new name", a->host, self->name,
                           self->name, self->name);
        return AGENT_EXIT_CONFIGURATION;
}

int founding_check(Agent *a) {
        const ZabConfig *c;
        MemberStatus s;
        int r;

        member_get_status(a->member, &s);
        c = s.pending_config ?: s.config;
        if (a->key_lost) {
                r = replace_lost_key(a, c);
                if (r != 0)
                        return r;
        }
        if (!c)
                return 0;

        r = check_level(c);
        return r != 0 ? r : check_name(a, c, s.sid);
}

/*
 * Joining
 */

static char *joining_file(const Agent *a) {
        return g_build_filename(a->conf.data, "joining", NULL);
}

void founding_done(const Agent *a) {
        g_autofree char *path = joining_file(a);

        (void) unlink(path);
}

/* The disk's id, durable before it is asked for: an ensemble that has taken it up knows it again after an interruption. */
static int joining_disk_id(const Agent *a, Id128 *ret) {
        g_autofree char *path = joining_file(a), *text = NULL;
        g_autoptr(GError) error = NULL;
        char words[SD_ID128_STRING_MAX];
        sd_id128_t id;

        if (g_file_get_contents(path, &text, NULL, NULL) && sd_id128_from_string(g_strstrip(text), &id) >= 0) {
                memcpy(ret->bytes, id.bytes, sizeof(id.bytes));
                return 0;
        }
        if (sd_id128_randomize(&id) < 0)
                return AGENT_EXIT_FAILURE;
        if (!g_file_set_contents_full(path, sd_id128_to_string(id, words), -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                      0600, &error)) {
                journal_last_words(CONVENE_MESSAGE_IO_ERROR, "Cannot write %s: %s", path, error->message);
                return AGENT_EXIT_IO;
        }
        memcpy(ret->bytes, id.bytes, sizeof(id.bytes));
        return 0;
}

typedef struct Joining {
        Agent *agent;
        ZabMeta meta;
        bool done;
        int exit_status;
} Joining;

static void on_joined(void *userdata, uint32_t sid, GBytes *config) {
        Joining *j = userdata;
        g_autofree char *path = links_join_file(j->agent);
        g_autoptr(GError) error = NULL;

        j->done = true;
        if (!g_file_set_contents_full(path, g_bytes_get_data(config, NULL), (gssize) g_bytes_get_size(config),
                                      G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &error)) {
                journal_last_words(CONVENE_MESSAGE_IO_ERROR, "Cannot write %s: %s", path, error->message);
                j->exit_status = AGENT_EXIT_IO;
                return;
        }

        j->meta.sid = sid;
        j->meta.membership = ZAB_MEMBERSHIP_JOINING;
        j->exit_status = create(j->agent, &j->meta);
        if (j->exit_status != 0)
                return;

        founding_done(j->agent);
        journal(LOG_NOTICE, NULL, "Joined the ensemble as member %u, an observer for now", sid);
}

static void on_failed(void *userdata, bool refused, const char *text) {
        Joining *j = userdata;

        j->done = true;
        j->exit_status = refused ? AGENT_EXIT_CONFIGURATION : AGENT_EXIT_FAILURE;
        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "%s: %s", refused ? "The ensemble does not let this host in" :
                "No member of the ensemble lets this host in at the moment", text);
}

static int read_token(const char *path, PeerToken *ret) {
        g_autofree char *text = NULL;
        g_autoptr(GError) error = NULL;
        int r;

        if (!g_file_get_contents(path, &text, NULL, &error)) {
                journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "Cannot read the token: %s", error->message);
                return AGENT_EXIT_CONFIGURATION;
        }

        r = peer_token_parse(g_strstrip(text), ret);
        if (r == 0)
                return 0;

        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "%s: %s", path,
                r == -EBADMSG ? "the token is mistyped or cut short" :
                r == -EPROTONOSUPPORT ? "the token is of a later version of convene" :
                "this is no token; 'convenectl member token' on a member prints one");
        return AGENT_EXIT_CONFIGURATION;
}

static void tell_whom_it_asks(const PeerToken *token) {
        g_autoptr(GString) s = g_string_new(NULL);

        for (unsigned i = 0; i < token->members_count; i++)
                g_string_append_printf(s, "%s%s", i > 0 ? ", " : "", token->members[i].address);
        (void) sd_notifyf(false, "STATUS=Asking to be let in at %s", s->str);
}

static int on_paused(sd_event_source *source, uint64_t usec, void *userdata) {
        agent_end(userdata, AGENT_EXIT_FAILURE);
        return 0;
}

/* systemd starts it again at once, and whoever has put it off is not to be asked ten times a second. */
static void pause_before_end(Agent *a) {
        if (sd_event_add_time_relative(a->event, NULL, CLOCK_BOOTTIME, ASK_AGAIN_USEC, 0, on_paused, a) < 0)
                return;
        while (sd_event_get_state(a->event) != SD_EVENT_FINISHED)
                if (sd_event_run(a->event, UINT64_MAX) < 0)
                        return;
}

static int join(Agent *a, const char *file) {
        g_auto(PeerToken) token = { 0 };
        Joining j = { .agent = a };
        PeerJoinerOptions options = {
                .name = a->host,
                .address = a->conf.advertise ?: a->conf.listen ?: "",
                .feature_level = FEATURE_LEVEL,
        };
        PeerJoinerHandler handler = { .joined = on_joined, .failed = on_failed, .userdata = &j };
        PeerJoiner *joiner;
        int r;

        r = read_token(file, &token);
        if (r != 0)
                return r;
        r = joining_disk_id(a, &j.meta.disk_id);
        if (r != 0)
                return r;

        j.meta.cluster_id = token.cluster_id;
        options.disk_id = j.meta.disk_id;
        joiner = peer_joiner_new(a->event, a->key, &token, &options, &handler);
        if (!joiner)
                return AGENT_EXIT_FAILURE;
        tell_whom_it_asks(&token);
        while (!j.done)
                if (sd_event_run(a->event, UINT64_MAX) < 0 || sd_event_get_state(a->event) == SD_EVENT_FINISHED) {
                        j.exit_status = AGENT_EXIT_FAILURE;
                        break;
                }
        peer_joiner_free(joiner);
        if (j.exit_status == AGENT_EXIT_FAILURE)
                pause_before_end(a);
        return j.exit_status;
}

int founding_store(Agent *a) {
        const char *file = a->options->join_file;

        if (!file)
                return found(a);
        if (file[0] != '-')
                return join(a, file);
        return access(file + 1, F_OK) == 0 ? join(a, file + 1) : found(a);
}
