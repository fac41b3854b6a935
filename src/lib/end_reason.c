/* SPDX-License-Identifier: MIT */
/*
 * Names the reasons for the end of a connection. A handler's exit code is untrusted input: any
 * unknown code counts as a failure.
 */
#include "lib/end_reason.h"

static const char *const reason_texts[REASON_COUNT] = {
        [REASON_CLOSED_BY_PEER] = "closed by peer",
        [REASON_RESET_BY_PEER] = "reset by peer",
        [REASON_IDLE] = "idle",
        [REASON_STALLED] = "stalled",
        [REASON_STOPPED] = "stopped",
        [REASON_FAILED] = "failed",
};

const char *reason_text(Reason reason) {
        return reason_texts[reason];
}

Reason reason_from_exit_code(int code) {
        return code >= 0 && code < REASON_COUNT ? (Reason)code : REASON_FAILED;
}
