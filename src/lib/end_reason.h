/* SPDX-License-Identifier: MIT */
#pragma once

typedef enum Reason Reason;

/*
 * Why a connection ended: a closed list, the same in exit codes, log and man page.
 * A handler exits with the number of its reason.
 */
enum Reason {
        REASON_CLOSED_BY_PEER, /* the peer sent everything and got everything back */
        REASON_RESET_BY_PEER,  /* the peer broke the connection off */
        REASON_IDLE,           /* the peer sent nothing for the idle timeout */
        REASON_STALLED,        /* the peer acknowledged nothing for the idle timeout */
        REASON_STOPPED,        /* the service stopped */
        REASON_FAILED,         /* the network or this machine failed, or the peer vanished */
        REASON_COUNT,
};

/*
 * reason_text: the reason as the log and the man page name it, a constant string.
 */
const char *reason_text(Reason reason);

/*
 * reason_from_exit_code: the reason that a handler's exit code stands for; any code that is none is
 * a failure.
 */
Reason reason_from_exit_code(int code);
