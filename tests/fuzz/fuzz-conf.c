/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: convened.conf
 *
 * Input: the text of the file.
 */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "agent/main/conf.h"
#include "agent/net/address.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

static bool load(const void *data, size_t size, Conf *ret, char **ret_error) {
        static int fd = -1;
        static char path[64];

        if (fd < 0) {
                fd = memfd_create("conf", MFD_CLOEXEC);
                fuzz_check(fd >= 0);
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        }
        fuzz_check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t) size);
        return conf_load(path, ret, ret_error);
}

static void check_address(const char *text) {
        NetAddress a, again;
        g_autofree char *plain = NULL;

        if (!text)
                return;
        fuzz_check(net_address_parse(text, &a));
        plain = net_address_to_string(&a);
        fuzz_check(net_address_parse(plain, &again) && again.size == a.size && net_address_same_host(&a, &again));
}

static void check_limits(const Conf *c) {
        fuzz_check(c->data && c->data[0] != '\0' && (!c->name || conf_host_name_is_valid(c->name)));
        check_address(c->listen);
        check_address(c->advertise);
        fuzz_check(c->election_timeout_msec >= 100 && c->election_timeout_msec <= 60000);
        fuzz_check(c->segment_bytes >= 8 << 20 && c->segment_bytes <= UINT64_C(4) << 30);
        fuzz_check(c->keep_log_bytes >= 1 && c->keep_log_bytes <= UINT64_C(1) << 40);
        fuzz_check(c->checkpoint_changes >= 1000 && c->checkpoint_log_bytes >= 8 << 20);
        fuzz_check(c->timeout_min_msec >= LIMIT_SESSION_TIMEOUT_MIN_MSEC);
        fuzz_check(c->timeout_min_msec <= c->timeout_default_msec && c->timeout_default_msec <= c->timeout_max_msec);
        fuzz_check(c->timeout_max_msec <= LIMIT_SESSION_TIMEOUT_MAX_MSEC);
        fuzz_check(c->limits.sessions >= 1 && c->limits.sessions <= LIMIT_SESSIONS_TOTAL);
        fuzz_check(c->limits.ephemerals >= 1 && c->limits.watches >= 1 && c->limits.calls >= 1);
        fuzz_check(c->limits.connections >= 1 && c->limits.connections <= LIMIT_CONNECTIONS);
        fuzz_check(c->limits.bytes >= 4 << 20 && c->limits.bytes <= UINT64_C(16) << 30);
        fuzz_check(c->reap_interval_msec >= 100 && c->reap_interval_msec <= 86400000);
        fuzz_check(c->reap_max >= 1 && c->reap_max <= 1000000);
}

/* Every key, in the smallest unit. */
static char *write_down(const Conf *c) {
        g_autoptr(GKeyFile) k = g_key_file_new();
        const struct {
                const char *group, *key, *unit;
                uint64_t value;
        } numbers[] = {
                { "Ensemble", "ElectionTimeout", "ms", c->election_timeout_msec },
                { "Store", "SegmentSize", "B", c->segment_bytes },
                { "Store", "KeepLog", "B", c->keep_log_bytes },
                { "Store", "CheckpointChanges", "", c->checkpoint_changes },
                { "Store", "CheckpointLog", "B", c->checkpoint_log_bytes },
                { "Session", "TimeoutMin", "ms", c->timeout_min_msec },
                { "Session", "TimeoutMax", " ms", c->timeout_max_msec },
                { "Session", "TimeoutDefault", "ms", c->timeout_default_msec },
                { "Limits", "Sessions", "", c->limits.sessions },
                { "Limits", "Ephemerals", "", c->limits.ephemerals },
                { "Limits", "Watches", "", c->limits.watches },
                { "Limits", "Calls", "", c->limits.calls },
                { "Limits", "Bytes", "", c->limits.bytes },
                { "Limits", "Connections", "", c->limits.connections },
                { "Tree", "ReapInterval", "ms", c->reap_interval_msec },
                { "Tree", "ReapMax", "", c->reap_max },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
                g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT "%s", numbers[i].value, numbers[i].unit);

                g_key_file_set_value(k, numbers[i].group, numbers[i].key, text);
        }
        if (c->name)
                g_key_file_set_string(k, "Agent", "Name", c->name);
        g_key_file_set_string(k, "Agent", "Data", c->data);
        if (c->listen)
                g_key_file_set_string(k, "Ensemble", "Listen", c->listen);
        if (c->advertise)
                g_key_file_set_string(k, "Ensemble", "Advertise", c->advertise);
        return g_key_file_to_data(k, NULL, NULL);
}

/* GLib warns about itself: a value with two bad escapes makes GKeyFile set its error twice. */
static void say_nothing(const char *domain, GLogLevelFlags level, const char *message, void *userdata) {
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static guint handler;
        g_autofree char *error = NULL, *text = NULL, *text_again = NULL;
        g_auto(Conf) c = { 0 }, again = { 0 };

        if (handler == 0)
                handler = g_log_set_handler("GLib", G_LOG_LEVEL_WARNING, say_nothing, NULL);
        if (!load(data, size, &c, &error)) {
                fuzz_check(error && g_utf8_validate(error, -1, NULL) && !c.data);
                return 0;
        }

        fuzz_check(!error);
        fuzz_accepted++;
        check_limits(&c);
        text = write_down(&c);
        fuzz_check(load(text, strlen(text), &again, &error));
        text_again = write_down(&again);
        fuzz_check(g_str_equal(text, text_again));
        fuzz_check(c.segment_bytes == again.segment_bytes && c.timeout_max_msec == again.timeout_max_msec);
        return 0;
}
