/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Statistics
 */

#include "tests/sim/statistics.h"

#include <stdio.h>

void statistics_add(Statistics *to, const Statistics *from) {
        uint64_t *t = (uint64_t *) to;
        const uint64_t *f = (const uint64_t *) from;

        for (size_t i = 0; i < sizeof(Statistics) / sizeof(uint64_t); i++)
                t[i] += f[i];
}

static void print_persist(const Statistics *s) {
        printf("\ncrashes by point of the store    before      during       after\n");
        for (unsigned p = 0; p < _PERSIST_MAX; p++)
                printf("  %-24s %12" PRIu64 "%12" PRIu64 "%12" PRIu64 "\n", persist_point_to_string((PersistPoint) p),
                       s->persist[p][PERSIST_BEFORE], s->persist[p][PERSIST_DURING], s->persist[p][PERSIST_AFTER]);
}

static void print_received(const Statistics *s) {
        static const char *const roles[] = {
                "stopped", "looking", "precand", "cand", "lead-sync", "leader", "f-hello", "f-sync", "follower",
        };

        printf("\nmessages by role of who got them\n  %-20s", "");
        for (unsigned r = 1; r < _ZAB_ROLE_MAX; r++)
                printf("%11s", roles[r]);
        printf("\n");
        for (unsigned m = 1; m < _MEMBER_MESSAGE_MAX; m++) {
                if (m >= _ZAB_MESSAGE_MAX && m < MEMBER_MESSAGE_FORWARD)
                        continue;
                printf("  %-20s", m < _ZAB_MESSAGE_MAX ? zab_message_type_to_string((ZabMessageType) m) :
                                                         member_message_type_to_string((MemberMessageType) m));
                for (unsigned r = 1; r < _ZAB_ROLE_MAX; r++)
                        printf("%11" PRIu64, s->received[r][m]);
                printf("\n");
        }
}

static void print_faults(const Statistics *s) {
        printf("faults:");
        for (unsigned k = 0; k < _FAULT_MAX; k++)
                printf(" %s %" PRIu64, fault_kind_to_string((FaultKind) k), s->faults[k]);
        printf("\n");
}

void statistics_print(const Statistics *s, double seconds, unsigned jobs) {
        print_persist(s);
        print_received(s);
        printf("\n");
        print_faults(s);
        printf("crashes %" PRIu64 " (%" PRIu64 " of all hosts at once), pauses %" PRIu64 ", connections broken %" PRIu64
               ", partitions %" PRIu64 ", wiped disks %" PRIu64 ", rotten bits %" PRIu64 " (damage told %" PRIu64
               "), torn logs %" PRIu64 "\n", s->crashes, s->crashes_all, s->pauses, s->breaks, s->partitions, s->wipes,
               s->rots, s->damaged, s->torn);
        printf("elections %" PRIu64 " (established %" PRIu64 "), SNAPs %" PRIu64 ", TRUNCs %" PRIu64 ", checkpoints %" PRIu64
               ", reconfigurations %" PRIu64 ", transfers %" PRIu64 ", disks replaced %" PRIu64 "\n", s->elections,
               s->leaders, s->snaps, s->truncs, s->checkpoints, s->reconfigurations, s->transfers, s->replaced);
        printf("entries committed %" PRIu64 ", writes acknowledged %" PRIu64 " (failed %" PRIu64 ", refused %" PRIu64
               ", fate unknown %" PRIu64 "), reads %" PRIu64 " (linearizable %" PRIu64 "), watch events %" PRIu64 "\n",
               s->entries, s->writes, s->writes_failed, s->writes_refused, s->writes_unknown, s->reads, s->linear_reads,
               s->watch_events);
        printf("sessions %" PRIu64 " (moved %" PRIu64 ", expired %" PRIu64 "), black-box histories %" PRIu64 " of %" PRIu64
               " operations\n", s->sessions, s->moves, s->expirations, s->black_boxes, s->black_box_operations);
        printf("seeds %" PRIu64 ", simulated hours %.1f, events %" PRIu64 ", messages %" PRIu64 ", %.1f s on %u core%s: %.0f "
               "seeds per second per core, %.0f times real time\n", s->seeds, (double) s->usec / 3.6e9, s->events,
               s->messages, seconds, jobs, jobs == 1 ? "" : "s", (double) s->seeds / seconds / jobs,
               (double) s->usec / 1e6 / seconds / jobs);
}
