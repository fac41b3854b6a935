/* SPDX-License-Identifier: MIT */
#pragma once

typedef enum EndReason EndReason;

/*
 * Why a connection ended: a closed list, the same in exit codes, log and man page.
 * A handler exits with the number of its reason.
 */
enum EndReason {
        END_CLOSED_BY_PEER, /* the peer sent everything and got everything back */
        END_RESET_BY_PEER,  /* the peer broke the connection off */
        END_IDLE,           /* the peer sent nothing for the idle timeout */
        END_STALLED,        /* the peer acknowledged nothing for the idle timeout */
        END_STOPPED,        /* the service stopped */
        END_FAILED,         /* the network or this machine failed, or the peer vanished */
        END_COUNT,
};

/*
 * end_reason_text: the reason as the log and the man page name it, a constant string.
 */
const char *end_reason_text(EndReason reason);

/*
 * end_reason_from_exit_code: the reason that a handler's exit code stands for; any code that is
 * none is a failure.
 */
EndReason end_reason_from_exit_code(int code);
