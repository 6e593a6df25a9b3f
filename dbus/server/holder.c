/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Holder
 */

#include "dbus/server/holder.h"

#include "dbus/server/server-private.h"

bool holder_read(Server *s, const char *path, Holder *ret) {
        Request r = { .op = REQUEST_EXISTS, .path = path, .caller = server_reading_identities(s) };
        Result result;

        tree_read(member_tree(s->member), &r, &result);
        if (result.status != CONVENE_OK)
                return false;
        *ret = (Holder) { .stat = result.stat };
        ret->has_session = tree_get_session(member_get_tree(s->member), ret->stat.ephemeral_owner, &ret->session);
        ret->has_owner = ret->has_session &&
                         owner_text_parse((OwnerTextKind) ret->session.owner_kind, ret->session.owner, &ret->owner);
        return true;
}

const char *holder_host(Server *s, const Holder *h) {
        MemberStatus status;

        if (!h->has_session)
                return "";
        member_get_status(s->member, &status);
        for (unsigned i = 0; status.config && i < status.config->members_count; i++)
                if (status.config->members[i].sid == h->session.member)
                        return status.config->members[i].name;
        return "";
}

const char *holder_unit(const Holder *h) {
        if (!h->has_owner)
                return "";
        return h->owner.kind == OWNER_TEXT_UNIT ? h->owner.name : h->owner.unit;
}
