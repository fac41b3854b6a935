/* SPDX-License-Identifier: MIT */
/*
 * Names the reasons for the end of a connection. A handler's exit code is untrusted input: any
 * unknown code counts as a failure.
 */
#include "lib/end_reason.h"

static const char *const end_reason_texts[END_COUNT] = {
        [END_CLOSED_BY_PEER] = "closed by peer",
        [END_RESET_BY_PEER] = "reset by peer",
        [END_IDLE] = "idle",
        [END_STALLED] = "stalled",
        [END_STOPPED] = "stopped",
        [END_FAILED] = "failed",
};

const char *end_reason_text(EndReason reason) {
        return end_reason_texts[reason];
}

EndReason end_reason_from_exit_code(int code) {
        return code >= 0 && code < END_COUNT ? (EndReason)code : END_FAILED;
}
