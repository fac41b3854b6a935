/* SPDX-License-Identifier: MIT */
#pragma once

#include "restart/inbox.h"
#include "server/connections.h"

/* answers_for_inbox: Returns the answers that an Inbox needs about the handlers of @connections. */
InboxMaster answers_for_inbox(Connections *connections);
