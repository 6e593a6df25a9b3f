/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Message
 */

#include "agent/member/message.h"

const char *member_message_type_to_string(MemberMessageType type) {
        switch (type) {

        case MEMBER_MESSAGE_FORWARD:
                return "forward";

        case MEMBER_MESSAGE_REFUSED:
                return "refused";

        case MEMBER_MESSAGE_CHANGE:
                return "change";

        case MEMBER_MESSAGE_CHANGED:
                return "changed";

        case MEMBER_MESSAGE_KEEP:
                return "keep";

        case MEMBER_MESSAGE_UNKEEP:
                return "unkeep";

        case MEMBER_MESSAGE_TOUCH:
                return "touch";

        case MEMBER_MESSAGE_DIGEST:
                return "digest";

        case MEMBER_MESSAGE_DIGEST_IS:
                return "digest-is";

        case MEMBER_MESSAGE_DIVERGED:
                return "diverged";

        default:
                return "unknown";
        }
}
