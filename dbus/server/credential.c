/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Credential
 *
 * systemd has no way of being told "no": a connection that is closed is a credential of no bytes, with which the unit starts.  More
 * bytes than a credential may have is what it takes for a failure, so that is the refusal.  For the same reason nobody is let in while
 * this member does not serve: a listening socket's queue survives a restart of the agent, and a connection does not.
 */

#include "dbus/server/credential.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/server/socket.h"

#define ROOT "/convene/credentials"
#define NAME_BYTES_MAX 255
#define REFUSAL_BYTES (4 * 1024 * 1024)         /* a credential has 1 MiB at most, an encrypted one a little more */
#define RETRY_USEC (UINT64_C(1000) * 1000)
#define PATIENCE_USEC (UINT64_C(90) * 1000 * 1000)      /* as long as a unit has to start, unless it says otherwise */

typedef struct Credential {
        Server *server;
        GList link;
        int fd;
        char *unit, *name;
        unsigned candidate;             /* of credential_path() */
        char *path;
        char *unit_id;
        Identity identity;
        MemberClient *client;
        Deferred work;                  /* asks again, or begins to send */
        sd_event_source *io, *retry, *patience;

        bool answered;
        bool refused;
        uint8_t *data;                  /* NULL and refused: zeros */
        size_t size, sent;
} Credential;

/*
 * Names
 */

static bool is_plain(const char *s, size_t size) {
        if (size == 0 || size > NAME_BYTES_MAX || g_str_equal(s, ".") || g_str_equal(s, ".."))
                return false;
        for (size_t i = 0; i < size; i++)
                if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '/')
                        return false;
        return true;
}

bool credential_parse_address(const char *address, size_t size, char **ret_unit, char **ret_name) {
        g_autofree char *text = NULL;
        g_auto(GStrv) parts = NULL;

        if (size < 1 || address[0] != '\0' || memchr(address + 1, '\0', size - 1))
                return false;
        text = g_strndup(address + 1, size - 1);
        parts = g_strsplit(text, "/", 5);
        if (g_strv_length(parts) != 4 || !*parts[0] || !g_str_equal(parts[1], "unit") || !is_plain(parts[2], strlen(parts[2])) ||
            !is_plain(parts[3], strlen(parts[3])))
                return false;
        *ret_unit = g_strdup(parts[2]);
        *ret_name = g_strdup(parts[3]);
        return true;
}

char *credential_path(const char *unit, const char *name, unsigned i) {
        const char *at = strchr(unit, '@'), *type = strrchr(unit, '.');

        if (i == 0)
                return g_strdup_printf(ROOT "/%s/%s", unit, name);
        if (i > 1 || !at || !type || type <= at + 1)
                return NULL;
        return g_strdup_printf(ROOT "/%.*s%s/%s", (int) (at + 1 - unit), unit, type, name);
}

/*
 * Its life
 */

static void credential_free(Credential *c) {
        Server *s = c->server;

        c->client = member_client_free(c->client);
        deferred_cancel(&s->later, &c->work);
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->retry);
        sd_event_source_disable_unref(c->patience);
        close(c->fd);
        g_queue_unlink(&s->credentials, &c->link);
        if (c->data)
                explicit_bzero(c->data, c->size);
        g_free(c->data);
        g_free(c->unit);
        g_free(c->name);
        g_free(c->path);
        g_free(c->unit_id);
        g_free(c);
}

void credentials_close_all(Server *s) {
        while (s->credentials.length > 0)
                credential_free(g_queue_peek_head(&s->credentials));
}

static void answer(Credential *c, uint8_t *data, size_t size) {
        c->answered = true;
        c->data = data;
        c->size = size;
        deferred_schedule(&c->server->later, &c->work);
}

static void refuse(Credential *c, const char *why) {
        const ServerAgent *agent = &c->server->agent;

        if (agent->credential_refused)
                agent->credential_refused(agent->userdata, c->unit, c->name, why);
        c->refused = true;
        answer(c, NULL, REFUSAL_BYTES);
}

static void refuse_status(Credential *c, ConveneStatus status) {
        g_autofree char *first = credential_path(c->unit, c->name, 0);
        g_autofree char *second = credential_path(c->unit, c->name, 1);
        g_autofree char *why = NULL;

        if (status == CONVENE_NO_NODE)
                why = g_strdup_printf("there is no znode %s%s%s (NoNode)", first, second ? ", nor " : "", second ?: "");
        else if (status == CONVENE_NO_AUTH)
                why = g_strdup_printf("%s is not readable for %s; see \"convenectl acl %s\" (NoAuth)", c->path, c->identity.id, c->path);
        else
                why = g_strdup_printf("%s: %s (%s)", c->path, convene_status_describe(status), convene_status_to_string(status));
        refuse(c, why);
}

static void ask(Credential *c) {
        Request r = { .op = REQUEST_GET_DATA, .path = c->path, .caller = { &c->identity, 1 } };

        member_submit(c->client, 0, &r, 0, 0);
}

/* From inside the member: what follows is deferred. */
static void on_reply(void *userdata, uint64_t tag, const Result *result) {
        Credential *c = userdata;

        if (c->answered)
                return;
        if (result->status == CONVENE_OK) {
                answer(c, g_memdup2(result->data ?: (const uint8_t *) "", result->data_size), result->data_size);
        } else if (result->status == CONVENE_NOT_READY) {
                (void) sd_event_source_set_time_relative(c->retry, RETRY_USEC);
                (void) sd_event_source_set_enabled(c->retry, SD_EVENT_ONESHOT);
        } else {
                g_autofree char *next = result->status == CONVENE_NO_NODE ? credential_path(c->unit, c->name, c->candidate + 1) : NULL;

                if (!next) {
                        refuse_status(c, result->status);
                        return;
                }
                c->candidate++;
                g_free(c->path);
                c->path = g_steal_pointer(&next);
                deferred_schedule(&c->server->later, &c->work);
        }
}

static void on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
}

/* True when there is nothing left to do for it. */
static bool send_more(Credential *c) {
        static const uint8_t zeros[64 * 1024];

        while (c->sent < c->size) {
                size_t left = c->size - c->sent;
                ssize_t n = send(c->fd, c->data ? c->data + c->sent : zeros, c->data ? left : MIN(left, sizeof(zeros)),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno != EAGAIN;
                c->sent += (size_t) n;
        }
        return true;
}

static void on_work(void *userdata) {
        Credential *c = userdata;

        if (!c->answered)
                ask(c);
        else if (send_more(c))
                credential_free(c);
        else
                (void) sd_event_source_set_io_events(c->io, EPOLLOUT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Credential *c = userdata;

        if (!c->answered ? (events & (EPOLLHUP | EPOLLERR)) != 0 : send_more(c))
                credential_free(c);
        return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        ask(userdata);
        return 0;
}

static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Credential *c = userdata;

        if (c->answered)
                credential_free(c);     /* it does not read */
        else
                refuse(c, "the ensemble is not within reach (NotReady)");
        return 0;
}

static int credential_begin(Credential *c) {
        sd_event *event = c->server->event;
        int r;

        r = sd_event_add_io(event, &c->io, c->fd, 0, on_io, c);         /* a hang-up is always told */
        if (r >= 0)
                r = sd_event_add_time_relative(event, &c->retry, CLOCK_BOOTTIME, RETRY_USEC, 0, on_retry, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->retry, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &c->patience, CLOCK_BOOTTIME, PATIENCE_USEC, 0, on_patience, c);
        return r;
}

static void accepted(Server *s, int fd, const struct ucred *peer) {
        static const MemberFront front = { .reply = on_reply, .event = on_event };
        struct sockaddr_un address = {};
        socklen_t size = sizeof(address);
        g_autofree char *unit = NULL, *name = NULL;

        /* The socket's mode says so, too; an address anybody may give himself. */
        if (peer->uid != 0 || getpeername(fd, (struct sockaddr *) &address, &size) < 0 ||
            size <= offsetof(struct sockaddr_un, sun_path) ||
            !credential_parse_address(address.sun_path, size - offsetof(struct sockaddr_un, sun_path), &unit, &name)) {
                s->counters.connections_refused++;
                close(fd);
                return;
        }

        Credential *c = g_new0(Credential, 1);
        c->server = s;
        c->fd = fd;
        c->link.data = c;
        g_queue_push_tail_link(&s->credentials, &c->link);
        deferred_init(&c->work, on_work, c);
        c->unit = g_steal_pointer(&unit);
        c->name = g_steal_pointer(&name);
        c->path = credential_path(c->unit, c->name, 0);
        c->unit_id = g_strdup_printf("%s@%s", c->unit, s->host);
        c->identity = (Identity) { "unit", c->unit_id };
        c->client = member_client_new(s->member, &front, c);
        if (credential_begin(c) < 0)
                credential_free(c);
        else if (strlen(c->unit_id) > LIMIT_IDENTITY_BYTES)
                refuse(c, "the names of the unit and of the host are too long for an identity");
        else
                ask(c);
}

static bool is_open(const Server *s) {
        MemberStatus status;

        member_get_status(s->member, &status);
        return status.serving && s->credentials.length < LIMIT_CREDENTIALS;
}

int server_listen_credentials(Server *s, int fd) {
        static const SocketKind kind = { .is_open = is_open, .accepted = accepted };

        return socket_listen(s, fd, &kind);
}
