/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Leases, .Counters, .Barriers, .Groups and .Queues: what a program gets that calls them itself
 */

#include <poll.h>
#include <time.h>

#include "tests/bus/harness.h"

#define LEASES "org.convene1.Leases"
#define COUNTERS "org.convene1.Counters"
#define BARRIERS "org.convene1.Barriers"
#define GROUPS "org.convene1.Groups"
#define QUEUES "org.convene1.Queues"
#define TIMED_OUT "org.convene1.Error.TimedOut"
#define NOT_HELD "org.convene1.Error.NotHeld"
#define BAD_VERSION "org.convene1.Error.BadVersion"
#define HOUR UINT64_C(3600000000)

static uint64_t boottime_usec(void) {
        struct timespec ts;

        g_assert_cmpint(clock_gettime(CLOCK_BOOTTIME, &ts), ==, 0);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static uint64_t acquire(sd_bus *bus, const char *name, const char *holder, uint64_t ttl_usec, uint64_t *ret_until_usec) {
        g_autoptr(sd_bus_message) m = call(bus, LEASES, "Acquire", "sta{sv}", name, ttl_usec, 1, "holder", "s", holder);
        uint64_t token;

        g_assert_cmpint(sd_bus_message_read(m, "tt", &token, ret_until_usec), >, 0);
        return token;
}

static void release(sd_bus *bus, const char *name, const char *holder) {
        sd_bus_message_unref(call(bus, LEASES, "Release", "sa{sv}", name, 1, "holder", "s", holder));
}

static bool try(sd_bus *bus, const char *name, const char *holder) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) m = NULL;
        int r;

        r = sd_bus_call_method(bus, "org.convene1", "/org/convene1", LEASES, "Acquire", &error, &m, "sta{sv}", name, HOUR, 2,
                               "holder", "s", holder, "timeout", "t", UINT64_C(0));
        if (r < 0)
                g_assert_cmpstr(error.name, ==, TIMED_OUT);
        sd_bus_error_free(&error);
        return r >= 0;
}

/* The holder's time begins before its call, and is a little shorter than what others wait for. */
static void test_lease_until(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        uint64_t before = boottime_usec(), until, others, token, shown, ttl;
        g_autoptr(sd_bus_message) m = NULL;
        const char *holder;

        token = acquire(bus, "until", "a", HOUR, &until);
        g_assert_cmpuint(until, >=, before + HOUR / 100 * 99);
        g_assert_cmpuint(until, <=, boottime_usec() + HOUR / 100 * 99);

        m = call(bus, LEASES, "Get", "sa{sv}", "until", 0);
        g_assert_cmpint(sd_bus_message_read(m, "sttt", &holder, &shown, &ttl, &others), >, 0);
        g_assert_cmpstr(holder, ==, "a");
        g_assert_cmpuint(shown, ==, token);
        g_assert_cmpuint(ttl, ==, HOUR);
        g_assert_cmpuint(others, >=, before + HOUR);
        g_assert_cmpuint(others, <=, boottime_usec() + HOUR);
}

/* The asking is a client itself, and one that has left may still be counted. */
static uint64_t count_clients(void) {
        uint64_t least = UINT64_MAX;

        for (unsigned i = 0; i < 20; i++)
                least = MIN(least, agent_statistic(shared, "clients_now"));
        return least;
}

/* Who waits goes on calling; who has left does not get it. */
static void test_lease_waiting(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), waiting = peer_new(shared), other = peer_new(shared);
        g_autoptr(Record) r = record_new(waiting), later = record_new(other);
        uint64_t until, clients;

        (void) acquire(bus, "waiting", "a", HOUR, &until);
        call_later(waiting, r, "lease", LEASES, "Acquire", "sta{sv}", "waiting", HOUR, 1, "holder", "s", "gone");
        call_later(waiting, r, "sync", TREE, "Sync", "a{sv}", 0);
        record_wait(waiting, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, "reply sync");
        call_later(other, later, "lease", LEASES, "Acquire", "sta{sv}", "waiting", HOUR, 1, "holder", "s", "later");
        call_later(other, later, "sync", TREE, "Sync", "a{sv}", 0);
        record_wait(other, later, 1);
        g_assert_cmpstr(record_line(later, 0), ==, "reply sync");

        clients = count_clients();
        g_clear_pointer(&r, record_free);
        g_clear_pointer(&waiting, peer_free);
        while (count_clients() >= clients)
                ;
        release(bus, "waiting", "a");
        record_wait(other, later, 2);
        g_assert_cmpstr(record_line(later, 1), ==, "reply lease");
        g_assert_true(try(bus, "waiting", "later"));
        g_assert_false(try(bus, "waiting", "gone"));
}

static void test_lease_mistakes(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        static const char *const names[] = { "", "a/b", "/a", ".", ".." };

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Acquire", "sta{sv}", names[i], HOUR, 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Release", "sa{sv}", names[i], 0));
                g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Get", "sa{sv}", names[i], 0));
        }
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Acquire", "sta{sv}", "x", UINT64_C(0), 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Acquire", "sta{sv}", "x", UINT64_MAX, 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Acquire", "sta{sv}", "x", HOUR, 1, "holder", "s", ""));
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Transfer", "ssa{sv}", "x", "", 0));
        g_free(call_fails(bus, NOT_HELD, LEASES, "Transfer", "ssa{sv}", "x", "somebody", 0));
        g_free(call_fails(bus, "org.convene1.Error.InvalidACL", LEASES, "Acquire", "sta{sv}", "x", HOUR, 1, "acl", "a(uss)", 1, 99,
                          "no", "such"));
        for (uint64_t ttl = 0; ttl <= HOUR; ttl += HOUR) {
                g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Acquire", "sta{sv}", "x", ttl, 1, "token", "t", UINT64_C(0)));
                g_free(call_fails(bus, NOT_HELD, LEASES, "Acquire", "sta{sv}", "x", ttl, 1, "token", "t", UINT64_C(1)));
        }
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Release", "sa{sv}", "x", 1, "token", "t", UINT64_C(0)));
        g_free(call_fails(bus, BAD_ARGUMENTS, LEASES, "Transfer", "ssa{sv}", "x", "somebody", 1, "token", "t", UINT64_C(0)));
        g_assert_false(exists(bus, "/convene/leases/x"));
}

/* Additions under way at the same time: none is lost, and their answers are all different. */
static void test_counter_pipeline(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(Record) r = record_new(bus);
        g_autoptr(sd_bus_message) m = NULL;
        int64_t value;

        for (unsigned i = 0; i < 200; i++)
                call_later(bus, r, "add", COUNTERS, "Add", "sxa{sv}", "pipeline", (int64_t) 1, 0);
        record_wait(bus, r, 200);
        for (unsigned i = 0; i < 200; i++)
                g_assert_cmpstr(record_line(r, i), ==, "reply add");
        m = call(bus, COUNTERS, "Get", "sa{sv}", "pipeline", 0);
        g_assert_cmpint(sd_bus_message_read(m, "x", &value), >, 0);
        g_assert_cmpint(value, ==, 200);
        g_free(call_fails(bus, BAD_VERSION, COUNTERS, "Set", "sxa{sv}", "pipeline", (int64_t) 1, 1, "expect", "x", (int64_t) 199));
        g_free(call_fails(bus, BAD_ARGUMENTS, COUNTERS, "Add", "sxa{sv}", "a/b", (int64_t) 1, 0));
        g_free(call_fails(bus, NO_NODE, COUNTERS, "Get", "sa{sv}", "nothing", 0));
}

static sd_bus_message *take(sd_bus *bus, const char *name, int *ret_fd, uint64_t *ret_token, const char **ret_item,
                            uint32_t *ret_attempt) {
        sd_bus_message *m = call(bus, QUEUES, "Take", "sa{sv}", name, 0);
        const void *data;
        size_t size;

        g_assert_cmpint(sd_bus_message_read(m, "htsu", ret_fd, ret_token, ret_item, NULL), >, 0);
        g_assert_cmpint(sd_bus_message_read_array(m, 'y', &data, &size), >, 0);
        g_assert_cmpmem(data, size, "work", 4);
        g_assert_cmpint(sd_bus_message_read(m, "u", ret_attempt), >, 0);
        return m;
}

/* Each claim that ends without an Ack counts; after the Ack the descriptor hangs up. */
static void test_queue(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        const char *item;
        uint64_t token, before = 0;
        uint32_t attempt;
        struct pollfd p;
        int fd;

        sd_bus_message_unref(call(bus, QUEUES, "Put", "saya{sv}", "fd", 4, 'w', 'o', 'r', 'k', 0));
        for (uint32_t i = 1; i <= 3; i++) {
                g_clear_pointer(&m, sd_bus_message_unref);      /* and with it the descriptor */
                m = take(bus, "fd", &fd, &token, &item, &attempt);
                g_assert_cmpuint(attempt, ==, i);
                g_assert_cmpuint(token, >, before);
                if (before != 0)
                        g_free(call_fails(bus, NOT_HELD, QUEUES, "Ack", "sta{sv}", item, before, 0));
                before = token;
        }
        g_free(call_fails(bus, TIMED_OUT, QUEUES, "Take", "sa{sv}", "fd", 1, "timeout", "t", UINT64_C(0)));
        sd_bus_message_unref(call(bus, QUEUES, "Ack", "sta{sv}", item, token, 0));
        p = (struct pollfd) { .fd = fd };
        g_assert_cmpint(poll(&p, 1, 30000), ==, 1);
        g_assert_cmpint(p.revents & POLLHUP, ==, POLLHUP);
        g_assert_false(exists(bus, item));
        g_free(call_fails(bus, NOT_HELD, QUEUES, "Ack", "sta{sv}", item, token, 0));
}

/* In the order of the calls, under way at the same time. */
static void test_queue_pipeline(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        g_autoptr(sd_bus_message) m = NULL;
        const char *path, *before = "";
        uint32_t size, n = 0;

        for (unsigned i = 0; i < 100; i++) {
                g_autofree uint8_t *data = g_malloc0(i + 1);
                g_autoptr(sd_bus_message) put = NULL;

                g_assert_cmpint(sd_bus_message_new_method_call(bus, &put, "org.convene1", "/org/convene1", QUEUES, "Put"), >=, 0);
                g_assert_cmpint(sd_bus_message_append(put, "s", "pipe"), >=, 0);
                g_assert_cmpint(sd_bus_message_append_array(put, 'y', data, i), >=, 0);
                g_assert_cmpint(sd_bus_message_append(put, "a{sv}", 0), >=, 0);
                g_assert_cmpint(sd_bus_send(bus, put, NULL), >=, 0);
        }
        sd_bus_message_unref(call(bus, TREE, "Sync", "a{sv}", 0));
        do {
                n = 0;
                before = "";
                g_clear_pointer(&m, sd_bus_message_unref);
                m = call(bus, QUEUES, "Items", "sa{sv}", "pipe", 0);
                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(sxuussu)"), >, 0);
                while (sd_bus_message_read(m, "(sxuussu)", &path, NULL, &size, NULL, NULL, NULL, NULL) > 0) {
                        g_assert_cmpuint(size, ==, n++);
                        g_assert_cmpstr(path, >, before);
                        before = path;
                }
        } while (n < 100);
        g_free(call_fails(bus, BAD_ARGUMENTS, QUEUES, "Put", "saya{sv}", "a/b", 0, 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, QUEUES, "Ack", "sta{sv}", "/convene/queues/pipe", UINT64_C(1), 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, QUEUES, "Ack", "sta{sv}", "item-0000000000", UINT64_C(1), 0));
}

static void wait_children(sd_bus *bus, const char *path, unsigned wanted) {
        unsigned n;

        do {
                g_autoptr(sd_bus_message) m = call(bus, TREE, "GetChildren", "sa{sv}", path, 0);

                g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >, 0);
                for (n = 0; sd_bus_message_skip(m, "s") > 0; n++)
                        ;
        } while (n != wanted);
}

#define READS 1
#define ALL 31

/* A znode that everybody may do that with, and root everything. */
static void make_for_others(sd_bus *bus, const char *path, uint32_t permissions) {
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", path, 1, 'x', "persistent", 1, "acl", "a(uss)", 2, ALL, "unix", "0@*",
                                  permissions, "world", "anyone"));
}

static void make_for_root(sd_bus *bus, const char *path) {
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", path, 1, 'x', "persistent", 1, "acl", "a(uss)", 1, ALL, "unix",
                                  "0@*"));
}

/* What the taker may not read is for others: it goes on to the next, unless the order counts. */
static void test_queue_unreadable(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new_as(shared, NOBODY);
        g_autoptr(sd_bus_message) m = NULL;
        const char *item;

        make_open(bus, "/recipe-unreadable");
        make_for_root(bus, "/recipe-unreadable/item-0000000000");
        g_free(call_fails(other, TIMED_OUT, QUEUES, "Take", "sa{sv}", "/recipe-unreadable", 1, "timeout", "t", UINT64_C(0)));
        g_free(call_fails(other, NO_AUTH, QUEUES, "Take", "sa{sv}", "/recipe-unreadable", 1, "ordered", "b", 1));
        make_for_others(bus, "/recipe-unreadable/item-0000000001", ALL);
        m = call(other, QUEUES, "Take", "sa{sv}", "/recipe-unreadable", 0);
        g_assert_cmpint(sd_bus_message_read(m, "htsu", NULL, NULL, &item, NULL), >, 0);
        g_assert_cmpstr(item, ==, "/recipe-unreadable/item-0000000001");
}

/* Takes, and lets go. */
static void fail_once(sd_bus *bus, const char *queue) {
        g_autofree char *claim = g_strdup_printf("%s/item-0000000000/claim", queue);

        sd_bus_message_unref(call(bus, QUEUES, "Take", "sa{sv}", queue, 0));
        wait_exists(bus, claim, false);
}

/* Who may not bury is told so. */
static void test_queue_no_grave(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new_as(shared, NOBODY);

        make_for_others(bus, "/no-grave", READS);
        make_for_others(bus, "/no-grave/item-0000000000", ALL);
        fail_once(other, "/no-grave");
        g_free(call_fails(other, NO_AUTH, QUEUES, "Take", "sa{sv}", "/no-grave", 1, "tries", "u", 1));
        make_open(bus, "/no-grave/dead");
        g_free(call_fails(other, NO_AUTH, QUEUES, "Take", "sa{sv}", "/no-grave", 1, "tries", "u", 1));
        g_assert_true(exists(bus, "/no-grave/item-0000000000"));
}

/* What is buried is as secret as it was. */
static void test_queue_grave_acl(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new_as(shared, NOBODY);
        g_autoptr(sd_bus_message) m = NULL;

        make_open(bus, "/secret");
        make_for_root(bus, "/secret/item-0000000000");
        fail_once(bus, "/secret");
        g_free(call_fails(bus, TIMED_OUT, QUEUES, "Take", "sa{sv}", "/secret", 2, "tries", "u", 1, "timeout", "t", UINT64_C(0)));
        wait_children(bus, "/secret/dead", 1);
        wait_children(other, "/secret/dead", 1);
        g_free(call_fails(other, NO_AUTH, TREE, "Get", "sa{sv}", "/secret/dead/item-0000000000", 0));
        m = call(bus, TREE, "Get", "sa{sv}", "/secret/dead/item-0000000000", 0);
}

static void test_barrier_unreadable(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new_as(shared, NOBODY);

        make_open(bus, "/hides");
        make_for_root(bus, "/hides/barrier");
        g_free(call_fails(other, NO_AUTH, BARRIERS, "Close", "sa{sv}", "/hides/barrier", 0));
        g_free(call_fails(other, NO_AUTH, BARRIERS, "Wait", "sa{sv}", "/hides/barrier", 0));
        sd_bus_message_unref(call(bus, BARRIERS, "Close", "sa{sv}", "/hides/barrier", 0));
}

/*
 * Objects
 */

typedef struct Told {
        const char *path;               /* wanted */
        unsigned times;
} Told;

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Told *t = userdata;

        t->times += g_strcmp0(sd_bus_message_get_path(m), t->path) == 0;
        return 0;
}

static void wait_told(sd_bus *bus, const Told *t, unsigned times) {
        while (t->times < times) {
                g_assert_cmpint(sd_bus_process(bus, NULL), >=, 0);
                g_assert_cmpint(sd_bus_wait(bus, 10000), >=, 0);
        }
}

static uint32_t waiters_of(sd_bus *bus, const char *path, const char *interface) {
        uint32_t waiters;

        g_assert_cmpint(sd_bus_get_property_trivial(bus, "org.convene1", path, interface, "Waiters", NULL, 'u', &waiters), >=, 0);
        return waiters;
}

/* Each change is told, and what is told can be read; what not everybody may read is not there. */
static void test_objects(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), other = peer_new(shared);
        g_autoptr(sd_bus_message) first = NULL, members = NULL, joined = NULL;
        Told lock = { "/org/convene1/lock/ob_2djects", 0 }, group = { "/org/convene1/group/objects", 0 };
        g_autoptr(Record) waiting = NULL;
        const char *kind, *name;
        uint32_t waiters;
        int r;

        g_assert_cmpint(sd_bus_match_signal(bus, NULL, NULL, NULL, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                            on_changed, &lock), >=, 0);
        g_assert_cmpint(sd_bus_match_signal(bus, NULL, NULL, NULL, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                            on_changed, &group), >=, 0);
        first = call(other, "org.convene1.Locks", "Lock", "sa{sv}", "ob-jects", 0);
        wait_told(bus, &lock, 1);
        waiting = record_new(other);
        call_later(other, waiting, "second", "org.convene1.Locks", "Lock", "sa{sv}", "ob-jects", 0);
        do {
                wait_told(bus, &lock, lock.times + 1);
                waiters = waiters_of(bus, lock.path, "org.convene1.Lock");
        } while (waiters != 1);
        r = sd_bus_get_property(bus, "org.convene1", lock.path, "org.convene1.Lock", "Holders", NULL, &members, "a(ssssuutxtus)");
        g_assert_cmpint(r, >=, 0);
        g_assert_cmpint(sd_bus_message_enter_container(members, 'a', "(ssssuutxtus)"), >, 0);
        g_assert_cmpint(sd_bus_message_enter_container(members, 'r', "ssssuutxtus"), >, 0);
        g_assert_cmpint(sd_bus_message_read(members, "ss", &name, &kind), >, 0);
        g_assert_cmpstr(name, ==, "ob-jects");
        g_assert_cmpstr(kind, ==, "mutex");
        g_clear_pointer(&first, sd_bus_message_unref);  /* with its descriptor */
        record_wait(other, waiting, 1);
        g_assert_cmpstr(record_line(waiting, 0), ==, "reply second");

        joined = call(other, GROUPS, "Join", "sa{sv}", "objects", 1, "member", "s", "one");
        wait_told(bus, &group, 1);
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", "/convene/locks/hidden", 0, "persistent", 1, "acl", "a(uss)", 1, 31,
                                  "unix", "0@*"));
        g_assert_cmpint(sd_bus_get_property_trivial(bus, "org.convene1", "/org/convene1/lock/hidden", "org.convene1.Lock", "Waiters",
                                                    NULL, 'u', &waiters), <, 0);
        g_assert_cmpint(sd_bus_get_property_trivial(bus, "org.convene1", "/org/convene1/lock/nothing", "org.convene1.Lock", "Waiters",
                                                    NULL, 'u', &waiters), <, 0);
}

static void test_calls_are_charged(void) {
        Agent *a = agent_new("Calls=4\n");
        sd_bus *bus = peer_new(a), *admin = peer_new(a);
        Record *r = record_new(bus);
        uint64_t until;

        (void) acquire(admin, "charged", "a", HOUR, &until);
        for (unsigned i = 0; i < 5; i++)
                call_later(bus, r, "lease", LEASES, "Acquire", "sta{sv}", "charged", HOUR, 1, "holder", "s", "b");
        record_wait(bus, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, "error lease " LIMIT_EXCEEDED);
        record_free(r);
        peer_free(bus);
        peer_free(admin);
        agent_free(a);
}

static void share_later(sd_bus *bus, Record *r, unsigned items, const char *item) {
        g_autoptr(sd_bus_message) m = NULL;

        g_assert_cmpint(sd_bus_message_new_method_call(bus, &m, "org.convene1", "/org/convene1", GROUPS, "Share"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "ss", "many", "me"), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(m, 'a', "s"), >=, 0);
        for (unsigned i = 0; i < items; i++)
                g_assert_cmpint(sd_bus_message_append_basic(m, 's', item), >=, 0);
        g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "a{sv}", 1, "since", "t", UINT64_C(0)), >=, 0);
        send_later(bus, r, "share", m);
}

/* Items of calls that wait are counted among the bytes of those who called. */
static void test_items_are_charged(void) {
        Agent *a = agent_new("Bytes=4M\n");
        sd_bus *bus = peer_new(a);
        Record *r = record_new(bus);

        share_later(bus, r, 250001, "");
        record_wait(bus, r, 1);
        g_assert_cmpstr(record_line(r, 0), ==, "error share org.convene1.Error.TooLarge");
        share_later(bus, r, 100000, "");         /* the group is empty: it waits */
        share_later(bus, r, 100000, "");
        record_wait(bus, r, 2);
        g_assert_cmpstr(record_line(r, 1), ==, "error share " LIMIT_EXCEEDED);
        share_later(bus, r, 10000, "as long as this one is");
        call_later(bus, r, "sync", TREE, "Sync", "a{sv}", 0);
        record_wait(bus, r, 3);
        g_assert_cmpstr(record_line(r, 2), ==, "reply sync");
        record_free(r);
        peer_free(bus);
        agent_free(a);
}

/* Whoever leaves the bus while it waits to enter is not inside any more. */
static void test_entrant_leaves(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), one = peer_new(shared), two = peer_new(shared);
        g_autoptr(Record) first = record_new(one), second = record_new(two);

        make_open(bus, "/leaving");
        call_later(one, first, "enter", BARRIERS, "Enter", "sua{sv}", "/leaving", 3, 0);
        call_later(two, second, "enter", BARRIERS, "Enter", "sua{sv}", "/leaving", 3, 0);
        wait_children(bus, "/leaving", 2);
        g_clear_pointer(&second, record_free);
        g_clear_pointer(&two, peer_free);
        wait_children(bus, "/leaving", 1);
        g_free(call_fails(bus, TIMED_OUT, BARRIERS, "WaitEmpty", "sa{sv}", "/leaving", 1, "timeout", "t", UINT64_C(0)));
        g_assert_cmpuint(first->lines->len, ==, 0);
        g_clear_pointer(&first, record_free);
        g_clear_pointer(&one, peer_free);
        sd_bus_message_unref(call(bus, BARRIERS, "WaitEmpty", "sa{sv}", "/leaving", 0));
        wait_children(bus, "/leaving", 0);
}

static uint64_t version_of(sd_bus_message *m, unsigned *ret_members) {
        uint64_t version;

        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(sssuutxtay)"), >, 0);
        for (*ret_members = 0; sd_bus_message_skip(m, "(sssuutxtay)") > 0; (*ret_members)++)
                ;
        g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
        g_assert_cmpint(sd_bus_message_read(m, "tb", &version, NULL), >, 0);
        return version;
}

/* Each change is another version, and who waits for one is told at once of what has changed already. */
static void test_group_versions(void) {
        g_autoptr(sd_bus) bus = peer_new(shared), member = peer_new(shared);
        g_autoptr(sd_bus_message) m = call(bus, GROUPS, "Members", "sa{sv}", "versions", 0), joined = NULL;
        unsigned count;
        uint64_t before = version_of(m, &count), after;

        g_assert_cmpuint(before, ==, 0);
        g_assert_cmpuint(count, ==, 0);
        g_free(call_fails(bus, TIMED_OUT, GROUPS, "Members", "sa{sv}", "versions", 2, "since", "t", before, "timeout", "t",
                          UINT64_C(1000)));
        joined = call(member, GROUPS, "Join", "sa{sv}", "versions", 1, "member", "s", "one");
        g_clear_pointer(&m, sd_bus_message_unref);
        m = call(bus, GROUPS, "Members", "sa{sv}", "versions", 1, "since", "t", before);
        after = version_of(m, &count);
        g_assert_cmpuint(count, ==, 1);
        g_assert_cmpuint(after, >, before);
        g_free(call_fails(bus, TIMED_OUT, GROUPS, "Members", "sa{sv}", "versions", 2, "since", "t", after, "timeout", "t",
                          UINT64_C(0)));
        g_free(call_fails(bus, "org.convene1.Error.NodeExists", GROUPS, "Join", "sa{sv}", "versions", 1, "member", "s", "one"));
        g_clear_pointer(&joined, sd_bus_message_unref);         /* the descriptor was in it */
        g_clear_pointer(&m, sd_bus_message_unref);
        m = call(bus, GROUPS, "Members", "sa{sv}", "versions", 1, "since", "t", after);
        g_assert_cmpuint(version_of(m, &count), >, after);
        g_assert_cmpuint(count, ==, 0);
}

static void test_group_mistakes(void) {
        g_autoptr(sd_bus) bus = peer_new(shared);
        static const char *const members[] = { "", ".", "..", "a/b" };

        for (size_t i = 0; i < G_N_ELEMENTS(members); i++)
                g_free(call_fails(bus, BAD_ARGUMENTS, GROUPS, "Join", "sa{sv}", "x", 1, "member", "s", members[i]));
        g_free(call_fails(bus, BAD_ARGUMENTS, GROUPS, "Members", "sa{sv}", "a/b", 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, BARRIERS, "Enter", "sua{sv}", "x", 0, 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, BARRIERS, "Close", "sa{sv}", "a/b", 0));
        g_assert_false(exists(bus, "/convene/groups/x"));
        g_free(call_fails(bus, NOT_HELD, GROUPS, "Share", "ssasa{sv}", "x", "me", 0, 0));
        g_free(call_fails(bus, BAD_ARGUMENTS, GROUPS, "Share", "ssasa{sv}", "a/b", "me", 0, 0));
}

void add_recipe_tests(void) {
        g_test_add_func("/recipe/lease-until", test_lease_until);
        g_test_add_func("/recipe/lease-waiting", test_lease_waiting);
        g_test_add_func("/recipe/lease-mistakes", test_lease_mistakes);
        g_test_add_func("/recipe/counter-pipeline", test_counter_pipeline);
        g_test_add_func("/recipe/entrant-leaves", test_entrant_leaves);
        g_test_add_func("/recipe/group-versions", test_group_versions);
        g_test_add_func("/recipe/group-mistakes", test_group_mistakes);
        g_test_add_func("/recipe/queue", test_queue);
        g_test_add_func("/recipe/queue-pipeline", test_queue_pipeline);
        g_test_add_func("/recipe/queue-unreadable", test_queue_unreadable);
        g_test_add_func("/recipe/queue-no-grave", test_queue_no_grave);
        g_test_add_func("/recipe/queue-grave-acl", test_queue_grave_acl);
        g_test_add_func("/recipe/barrier-unreadable", test_barrier_unreadable);
        g_test_add_func("/recipe/objects", test_objects);
        g_test_add_func("/recipe/calls-are-charged", test_calls_are_charged);
        g_test_add_func("/recipe/items-are-charged", test_items_are_charged);
}
