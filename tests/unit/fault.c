/* SPDX-License-Identifier: MIT */
#include "fault.h"

bool fault_strikes(CallFault *fault) {
        if (fault->times == 0 || fault->after-- > 0)
                return false;
        fault->after = 0;
        fault->times--;
        errno = fault->error;
        return true;
}
