/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Mesh
 */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <syslog.h>
#include <time.h>

#include "agent/peer/mesh-internal.h"

#define ALARM_REPEATED_USEC UINT64_C(60000000)  /* the same one not sooner */
#define ALARMS_WINDOW_USEC UINT64_C(10000000)
#define ALARMS_OF_MEMBERS 20
#define ALARMS_OF_STRANGERS 5

uint64_t mesh_now(const PeerMesh *m) {
        uint64_t now;

        if (sd_event_now(m->event, CLOCK_BOOTTIME, &now) < 0) {
                struct timespec ts;

                (void) clock_gettime(CLOCK_BOOTTIME, &ts);
                now = (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
        }
        return now;
}

void text_clean(char *text) {
        for (char *c = text; *c; c++)
                if ((unsigned char) *c < ' ' || *c == 0x7f)
                        *c = '?';
}

static char *to_hex(const uint8_t *bytes, size_t size) {
        char *s = g_malloc(2 * size + 1);

        for (size_t i = 0; i < size; i++)
                g_snprintf(s + 2 * i, 3, "%02x", bytes[i]);
        return s;
}

char *id_to_string(const Id128 *id) {
        return to_hex(id->bytes, sizeof(id->bytes));
}

char *pin_to_string(const uint8_t pin[static NET_PIN_BYTES]) {
        return to_hex(pin, 8);
}

/* True if it should be said: not the same again and again, and not too much in all.  What is critical is always said once. */
static bool alarm_is_news(PeerMesh *m, const char *text, AlarmBudget *budget, unsigned most) {
        uint64_t now = mesh_now(m);
        guint hash = g_str_hash(text);

        for (unsigned i = 0; i < ALARMS_REMEMBERED; i++)
                if (m->alarms[i].hash == hash && m->alarms[i].usec != 0 && now - m->alarms[i].usec < ALARM_REPEATED_USEC)
                        return false;
        if (now - budget->since_usec >= ALARMS_WINDOW_USEC)
                *budget = (AlarmBudget) { .since_usec = now };
        if (budget->spent >= most)
                return false;

        budget->spent++;
        m->alarms[m->alarms_next].hash = hash;
        m->alarms[m->alarms_next].usec = now;
        m->alarms_next = (m->alarms_next + 1) % ALARMS_REMEMBERED;
        return true;
}

static void alarm_within(PeerMesh *m, int priority, char *text, AlarmBudget *budget, unsigned most) {
        text_clean(text);
        if (alarm_is_news(m, text, budget, most))
                m->listener.alarm(m->listener.userdata, priority, text);
        else
                m->statistics.alarms_left_out++;
}

void mesh_alarm(PeerMesh *m, int priority, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        alarm_within(m, priority, text, &m->alarms_of_members, priority <= LOG_CRIT ? UINT_MAX : ALARMS_OF_MEMBERS);
}

void mesh_alarm_stranger(PeerMesh *m, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        alarm_within(m, LOG_WARNING, text, &m->alarms_of_strangers, ALARMS_OF_STRANGERS);
}

static void bury_one(PeerMesh *m, Link *link) {
        if (link->up)
                m->listener.down(m->listener.userdata, link->conn, link->sid, link->reason);
        if (link->join && m->listener.join_cancelled)
                m->listener.join_cancelled(m->listener.userdata, link->join);
        link_free(link);
}

static Link *next_closed(PeerMesh *m, uint32_t sid, const Link *but) {
        for (GList *at = m->closed.head; at; at = at->next) {
                Link *link = at->data;

                if (link != but && (sid == 0 || link->sid == sid)) {
                        g_queue_delete_link(&m->closed, at);
                        return link;
                }
        }
        return NULL;
}

void mesh_bury(PeerMesh *m, uint32_t sid, const Link *but) {
        Link *link;

        while ((link = next_closed(m, sid, but)))
                bury_one(m, link);
}

static int on_work(sd_event_source *source, void *userdata) {
        mesh_bury(userdata, 0, NULL);
        return 0;
}

static void set_defaults(PeerMeshOptions *o) {
        o->version_min = o->version_min ?: FRAME_VERSION;
        o->version_max = o->version_max ?: FRAME_VERSION;
        o->patience_usec = o->patience_usec ?: 3000000;
        o->alive_usec = o->alive_usec ?: 50000;
        o->hold_usec = o->hold_usec ?: 300000;
        o->clone_ban_usec = o->clone_ban_usec ?: 10000000;
        o->malformed_ban_usec = o->malformed_ban_usec ?: 1000000;
        o->hello_usec = o->hello_usec ?: 5000000;
        o->join_usec = o->join_usec ?: 60000000;
        o->name = NULL;
}

PeerMesh *peer_mesh_new(sd_event *event, NetKey *key, const PeerMeshOptions *options,
                        const PeerMeshListener *listener) {
        PeerMesh *m = g_new0(PeerMesh, 1);

        assert(options->sid >= 1 && options->sid <= ZAB_CONFIG_MEMBERS_MAX);

        m->event = sd_event_ref(event);
        m->key = net_key_ref(key);
        m->options = *options;
        m->listener = *listener;
        m->name = g_strdup(options->name ?: "");
        m->directory = peer_directory_new();
        m->links = g_hash_table_new(g_int64_hash, g_int64_equal);
        set_defaults(&m->options);
        if (getrandom(&m->incarnation, sizeof(m->incarnation), 0) != (ssize_t) sizeof(m->incarnation) ||
            getrandom(&m->prng, sizeof(m->prng), 0) != (ssize_t) sizeof(m->prng) ||
            sd_event_add_defer(event, &m->work, on_work, m) < 0 ||
            sd_event_source_set_enabled(m->work, SD_EVENT_OFF) < 0)
                return peer_mesh_free(m);
        return m;
}

/* In an array of its own: they may be closed while one goes through it. */
static GPtrArray *links_now(PeerMesh *m) {
        GPtrArray *links = g_ptr_array_new();
        GHashTableIter i;
        gpointer link;

        g_hash_table_iter_init(&i, m->links);
        while (g_hash_table_iter_next(&i, NULL, &link))
                g_ptr_array_add(links, link);
        return links;
}

PeerMesh *peer_mesh_free(PeerMesh *m) {
        g_autoptr(GPtrArray) links = NULL;
        Link *link;

        if (!m)
                return NULL;

        links = links_now(m);
        for (unsigned i = 0; i < links->len; i++)
                link_close(links->pdata[i], false, "the member stops");
        while ((link = g_queue_pop_head(&m->closed)))
                link_free(link);
        for (unsigned sid = 0; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++)
                peer_free(m->peers[sid]);
        net_listener_free(m->accepting);
        sd_event_source_disable_unref(m->work);
        g_hash_table_unref(m->links);
        peer_directory_free(m->directory);
        writer_done(&m->scratch);
        net_key_unref(m->key);
        sd_event_unref(m->event);
        g_free(m->name);
        g_free(m);
        return NULL;
}

static void on_accepted(void *userdata, int fd, const NetAddress *from, NetAdmission *admission) {
        PeerMesh *m = userdata;

        m->statistics.accepted++;
        (void) link_new_accepted(m, fd, from, admission);
}

static bool on_known(void *userdata, const NetAddress *from) {
        const PeerMesh *m = userdata;

        return peer_directory_has_host(m->directory, from);
}

/* Once a minute for each host: see alarm_is_news(). */
static void on_crowded(void *userdata, const NetAddress *from) {
        g_autofree char *place = net_address_to_string(from);

        *strrchr(place, ':') = '\0';
        mesh_alarm_stranger(userdata, "So many connections from %s that do not say who they are: the oldest make room", place);
}

int peer_mesh_listen(PeerMesh *m, const NetAddress *address) {
        const NetListenerHandler handler = { on_accepted, on_known, on_crowded, m };
        NetListener *l = NULL;
        int r;

        if (address) {
                r = net_listener_new(m->event, address, &(const NetListenerOptions) { 0 }, &handler, &l);
                if (r < 0)
                        return r;
        }
        net_listener_free(m->accepting);
        m->accepting = l;
        return 0;
}

const NetAddress *peer_mesh_address(const PeerMesh *m) {
        return m->accepting ? net_listener_address(m->accepting) : NULL;
}

/* Whether the directory still has what let it in, or would let it in. */
static bool link_belongs(const Link *link) {
        const PeerDirectory *d = link->mesh->directory;

        switch (link->state) {
        case LINK_HANDSHAKE:
                return link->server || peer_directory_find_sid(d, link->sid);
        case LINK_HELLO:
                return peer_directory_find_pin(d, link->pin) && peer_directory_find_sid(d, link->peer->sid);
        case LINK_HELD:
        case LINK_AGREE:
        case LINK_UP:
                return peer_directory_match(d, link->sid, &link->disk_id, link->pin);
        default:
                return true;
        }
}

static void adopt(PeerMesh *m, PeerDirectory *directory) {
        g_autoptr(GPtrArray) links = NULL;

        peer_directory_free(m->directory);
        m->directory = directory;

        links = links_now(m);
        for (unsigned i = 0; i < links->len; i++)
                if (!link_belongs(links->pdata[i]))
                        link_close(links->pdata[i], false, "it does not belong to the ensemble any more");

        for (uint32_t sid = 1; sid <= ZAB_CONFIG_MEMBERS_MAX; sid++) {
                bool belongs = sid != m->options.sid && peer_directory_find_sid(directory, sid);

                if (!belongs)
                        m->peers[sid] = peer_free(m->peers[sid]);
                else if (!m->peers[sid])
                        m->peers[sid] = peer_new(m, sid);
                if (belongs)
                        peer_update(m->peers[sid]);
        }
}

void peer_mesh_set_config(PeerMesh *m, const ZabConfig *committed, const ZabConfig *pending) {
        PeerDirectory *d = peer_directory_new();

        for (unsigned i = 0; committed && i < committed->members_count; i++)
                peer_directory_add(d, &committed->members[i], false);
        for (unsigned i = 0; pending && i < pending->members_count; i++)
                peer_directory_add(d, &pending->members[i], true);

        m->config_version = committed ? committed->version : 0;
        m->config_digest = (Hash128) { 0 };
        if (committed) {
                gsize size;
                const void *data = g_bytes_get_data(committed->bytes, &size);

                m->config_digest = hash128(data, size, 0);
        }
        adopt(m, d);
}

void peer_mesh_set_directory(PeerMesh *m, const ZabConfigMember *members, unsigned members_count) {
        PeerDirectory *d = peer_directory_new();

        for (unsigned i = 0; i < members_count; i++)
                peer_directory_add(d, &members[i], false);
        m->config_version = 0;
        m->config_digest = (Hash128) { 0 };
        adopt(m, d);
}

void peer_mesh_set_required(PeerMesh *m, uint32_t feature_level) {
        m->required = feature_level;
}

void peer_mesh_set_key(PeerMesh *m, NetKey *key) {
        NetKey *taken = net_key_ref(key);

        net_key_unref(m->key);
        m->key = taken;
}

static Link *find(PeerMesh *m, uint64_t conn) {
        Link *link = g_hash_table_lookup(m->links, &conn);

        return link && link->up ? link : NULL;
}

bool peer_mesh_send(PeerMesh *m, uint64_t conn, const PeerMessage *message) {
        Link *link = find(m, conn);

        if (!link)
                return false;

        frame_encode(&m->scratch, message);
        if (!link_write(link))
                return false;
        link->frames_out++;
        return true;
}

void peer_mesh_close(PeerMesh *m, uint64_t conn, const char *reason) {
        Link *link = find(m, conn);

        if (link)
                link_close(link, true, "%s", reason);
}

void peer_mesh_get_statistics(const PeerMesh *m, PeerMeshStatistics *ret) {
        *ret = m->statistics;
        if (m->accepting) {
                NetListenerStatistics s;

                net_listener_get_statistics(m->accepting, &s);
                ret->refused = s.refused;
                ret->pending = s.pending;
        }
}
