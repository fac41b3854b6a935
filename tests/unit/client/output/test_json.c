/* SPDX-License-Identifier: MIT */
/* JSON: members with commas between them, and strings of any bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "client/output/json.h"

/* Objects nest, and a comma is between two members and nowhere else. */
static void test_structure(void **state) {
        size_t size;
        char *text;
        Json json = { .file = open_memstream(&text, &size) };

        (void)state;
        assert_non_null(json.file);
        json_open(&json, NULL);
        json_open(&json, "empty");
        json_close(&json);
        json_open(&json, "full");
        json_integer(&json, "most", UINT64_MAX);
        json_number(&json, "rounded", 0.12345);
        json_number(&json, "unknown", NAN);
        json_small(&json, "small", 0.00012345);
        json_small(&json, "unclear", NAN);
        json_boolean(&json, "yes", true);
        json_boolean(&json, "no", false);
        json_null(&json, "none");
        json_close(&json);
        json_open_list(&json, "list");
        json_string(&json, NULL, "one");
        json_integer(&json, NULL, 2);
        json_close_list(&json);
        json_string(&json, "last", NULL);
        json_close(&json);
        assert_int_equal(fclose(json.file), 0);
        assert_string_equal(text, "{\"empty\": {}, \"full\": {\"most\": 18446744073709551615, "
                                  "\"rounded\": 0.123, \"unknown\": null, \"small\": 0.000123, "
                                  "\"unclear\": null, "
                                  "\"yes\": true, "
                                  "\"no\": false, \"none\": null}, "
                                  "\"list\": [\"one\", 2], \"last\": null}");
        free(text);
}

/* Quotes, backslashes, controls and bytes that are not UTF-8 are escaped; UTF-8 is left alone. */
static void test_strings(void **state) {
        size_t size;
        char *text;
        Json json = { .file = open_memstream(&text, &size) };

        (void)state;
        assert_non_null(json.file);
        json_string(&json, "a", "plain ~");
        json_string(&json, "b", "\"\\\n\x01\x7f\xff");
        json_string(&json, "c", "\u00fc\u20ac\U0001f600\xc2\x80\ue000");
        /* Bytes alone, forms that are too long, a surrogate, beyond the last character, cut off. */
        json_string(&json, "d", "\xfcx\xc0\x80\xe0\x80\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82");
        assert_int_equal(fclose(json.file), 0);
        assert_string_equal(
                        text,
                        "\"a\": \"plain ~\", "
                        "\"b\": \"\\\"\\\\\\u000a\\u0001\\u007f\\u00ff\", "
                        "\"c\": \"\u00fc\u20ac\U0001f600\xc2\x80\ue000\", "
                        "\"d\": \"\\u00fcx\\u00c0\\u0080\\u00e0\\u0080\\u0080\\u00ed\\u00a0\\u0080"
                        "\\u00f4\\u0090\\u0080\\u0080\\u00e2\\u0082\"");
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_structure),
                cmocka_unit_test(test_strings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
