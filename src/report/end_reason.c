/* SPDX-License-Identifier: MIT */
/*
 * Names the reasons for the end of a connection. A handler exits with the number of its reason, and
 * the master turns the exit code into the text of its record.
 *
 * A handler that a peer has taken over exits with any code, and a killed one leaves any number in
 * the ledger. Nothing here may use such a number as an index before it is checked.
 */
#include "report/end_reason.h"

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
