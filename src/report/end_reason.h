/* SPDX-License-Identifier: MIT */
#pragma once

/* The reason for the end of a connection: a closed list, the same in exit codes, records and
 * mpecho(8). A handler exits with the number of its reason. */
typedef enum EndReason {
        END_CLOSED_BY_PEER, /* the peer sent everything and received it back */
        END_RESET_BY_PEER,  /* the peer broke the connection off */
        END_IDLE,           /* the peer sent nothing for the idle timeout */
        END_STALLED,        /* the peer acknowledged nothing for the idle timeout */
        END_STOPPED,        /* the service stopped */
        END_FAILED,         /* the network or this machine failed, or the peer vanished */
        END_COUNT,
} EndReason;

/*
 * end_reason_text: Returns the name of @reason in records and mpecho(8), a constant string.
 *
 * end_reason_from_exit_code: Returns the reason of a handler's exit code; END_FAILED for a code
 * outside of the list.
 */
const char *end_reason_text(EndReason reason);
EndReason end_reason_from_exit_code(int code);
