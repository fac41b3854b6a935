/* SPDX-License-Identifier: MIT */
/* Whatever comes back to the client, and whatever control data comes with an error, nothing behind
 * it is read; what is found was sent, and the verdict agrees with the bytes.
 *
 * The first byte of an input is the size of the datagrams, and 255 for control data; the rest is
 * what comes. */

#include <string.h>

#include "client/content/payload.h"
#include "client/content/volley.h"
#include "client/network/rejection.h"
#include "fuzz.h"

enum {
        CONTROL = 255,
        SENT = 300,
};

static void check_control(const uint8_t *data, size_t size) {
        struct msghdr message = { .msg_control = fuzz_copy(data, size), .msg_controllen = size };
        Rejection rejection;

        fuzz_fill(&rejection, sizeof rejection);
        if (rejection_parse(&message, &rejection)) {
                FUZZ_CHECK(memchr(rejection.text, '\0', sizeof rejection.text) != NULL);
                FUZZ_CHECK(memchr(rejection.reason, '\0', sizeof rejection.reason) != NULL);
                FUZZ_CHECK(memchr(rejection.sender, '\0', sizeof rejection.sender) != NULL);
                FUZZ_CHECK(rejection_kind(&rejection) < FAILURE_KINDS);
        } else {
                FUZZ_CHECK(fuzz_is_filled(&rejection, sizeof rejection));
        }
        free(message.msg_control);
}

static void check_answer(size_t datagram_size, const uint8_t *data, size_t size) {
        static Payload payload;
        uint64_t number;
        Fault fault;
        Volley volley;
        bool intact;

        payload.size = datagram_size;
        pattern_init_seed(&payload.pattern, 862);
        FUZZ_CHECK(volley_init(&volley, 512, 100) == 0);
        for (uint64_t i = 0; i < SENT; i++)
                FUZZ_CHECK(volley_send(&volley, i) == i);
        if (payload_find(&payload, data, size, 0, SENT, &number)) {
                FUZZ_CHECK(number < SENT);
                intact = payload_compare(&payload, number, data, size, &fault);
                FUZZ_CHECK(intact == (size == datagram_size &&
                                      memcmp(payload_make(&payload, number), data, size) == 0));
                FUZZ_CHECK(intact || fault.offset <= size);
                FUZZ_CHECK(volley_receive(&volley, number, SENT, intact).verdict !=
                           VOLLEY_UNRECOGNIZED);
                FUZZ_CHECK(volley.counts.answered + volley.counts.late + volley.counts.changed ==
                           1);
        }
        volley_deinit(&volley);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t *copy;

        if (size == 0)
                return 0;
        copy = fuzz_copy(data + 1, size - 1);
        if (data[0] == CONTROL)
                check_control(copy, size - 1);
        else
                check_answer(data[0], copy, size - 1);
        free(copy);
        return 0;
}
