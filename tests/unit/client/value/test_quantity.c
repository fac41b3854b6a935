/* SPDX-License-Identifier: MIT */
/* Sizes and times: what is read is what was written, and nothing else is taken for one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "client/value/quantity.h"

/* Suffixes are powers of 1024; the range holds for the product. */
static void test_sizes(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t size;
        } cases[] = {
                { "1", 0, 1 },
                { "0064", 0, 64 },
                { "1K", 0, 1024 },
                { "3M", 0, 3 << 20 },
                { "1024G", 0, (uint64_t)1 << 40 },
                { "1025G", -ERANGE, 0 },
                { "0", -ERANGE, 0 },
                { "0K", -ERANGE, 0 },
                { "17179869184G", -ERANGE, 0 },
                { "99999999999999999999999999", -ERANGE, 0 },
                { "9999999999999999999999999999999999999999", -ERANGE, 0 },
                { "1.999999999999999999999999999999999999999K", -EINVAL, 0 },
                /* There is room for 39 digits. */
                { "000000000000000000000000000000000000064", 0, 64 },
                { "0000000000000000000000000000000000000064", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "K", -EINVAL, 0 },
                { "1k", 0, 1024 },
                { "1KB", 0, 1024 },
                { "1KiB", 0, 1024 },
                { "1.5K", 0, 1536 },
                { ".5M", 0, 1 << 19 },
                { "64B", 0, 64 },
                { "1T", 0, (uint64_t)1 << 40 },
                { "1.5", -EINVAL, 0 },
                { "1.K", -EINVAL, 0 },
                { "1.5.1K", -EINVAL, 0 },
                { "1Ki", -EINVAL, 0 },
                { "1KK", -EINVAL, 0 },
                { "1X", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
                { "0x10", -EINVAL, 0 },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                uint64_t size = 7;

                assert_int_equal(quantity_parse_size(cases[i].text, 1, (uint64_t)1 << 40, &size),
                                 cases[i].r);
                assert_int_equal(size, cases[i].r == 0 ? cases[i].size : 7);
        }
}

/* Fractions are exact to the nanosecond; the range is in nanoseconds, whatever the unit. */
static void test_times(void **state) {
        static const struct {
                const char *text;
                uint64_t unit;
                int r;
                uint64_t time;
        } cases[] = {
                { "1", 1000000000, 0, 1000000000 },
                { "0.2", 1000000000, 0, 200000000 },
                { "0.000000001", 1000000000, 0, 1 },
                { "3600", 1000000000, 0, 3600000000000 },
                { "12.5", 1000000, 0, 12500000 },
                { "3600.000000001", 1000000000, -ERANGE, 0 },
                { "0", 1000000000, -ERANGE, 0 },
                { "18446744073709551616", 1000000000, -ERANGE, 0 },
                { "18446744073", 1000000000, -ERANGE, 0 },
                { "18446744073.8", 1000000000, -ERANGE, 0 },
                { "", 1000000000, -EINVAL, 0 },
                { ".", 1000000000, -EINVAL, 0 },
                { "1.", 1000000000, -EINVAL, 0 },
                { ".1", 1000000000, 0, 100000000 },
                { "1.0000000001", 1000000000, -EINVAL, 0 },
                { "1,5", 1000000000, -EINVAL, 0 },
                { "1.5s", 1000000, 0, 1500000000 },
                { "250us", 1000000000, 0, 250000 },
                { "1.5ms", 1000000000, 0, 1500000 },
                { "2m", 1000000000, 0, 120000000000 },
                { "1h", 1000000000, 0, 3600000000000 },
                { "61m", 1000000000, -ERANGE, 0 },
                { "1min", 1000000000, -EINVAL, 0 },
                { "1.5.1", 1000000000, -EINVAL, 0 },
                { "1e3", 1000000000, -EINVAL, 0 },
                { "-1", 1000000000, -EINVAL, 0 },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                uint64_t time = 7;

                assert_int_equal(quantity_parse_time(cases[i].text, cases[i].unit, 1,
                                                     UINT64_C(3600000000000), &time),
                                 cases[i].r);
                assert_int_equal(time, cases[i].r == 0 ? cases[i].time : 7);
        }
}

/* Rates have powers of ten, and fractions down to their unit. */
static void test_rates(void **state) {
        uint64_t rate = 7;

        (void)state;
        assert_int_equal(quantity_parse_rate("1.5k", 1000, 1, 2000000, &rate), 0);
        assert_int_equal(rate, 1500000);
        assert_int_equal(quantity_parse_rate("2M", 1000, 1, UINT64_C(2000000000), &rate), 0);
        assert_int_equal(rate, 2000000000);
        assert_int_equal(quantity_parse_rate("0.5", 1000, 1, 2000, &rate), 0);
        assert_int_equal(rate, 500);
        assert_int_equal(quantity_parse_rate("2.001", 1000, 1, 2000, &rate), -ERANGE);
        assert_int_equal(quantity_parse_rate("0.0001", 1000, 1, 2000, &rate), -ERANGE);
        assert_int_equal(quantity_parse_rate("1K5", 1000, 1, 2000, &rate), -EINVAL);
        assert_int_equal(rate, 500);
}

/* A size has the unit that makes it readable, and rounding never gives 1024 of one. */
static void test_formats(void **state) {
        char text[QUANTITY_TEXT_SIZE];

        (void)state;
        assert_string_equal(quantity_format_bytes(0, text), "0 bytes");
        assert_string_equal(quantity_format_bytes(1023, text), "1023 bytes");
        assert_string_equal(quantity_format_bytes(1024, text), "1.0 KiB");
        assert_string_equal(quantity_format_bytes(1048575, text), "1.0 MiB");
        assert_string_equal(quantity_format_bytes(67108864, text), "64.0 MiB");
        assert_string_equal(quantity_format_bytes(1.5e9, text), "1.4 GiB");
        assert_string_equal(quantity_format_bytes(1e22, text), "8673.6 EiB");
        assert_string_equal(quantity_format_time(250000000, text), "0.25");
        assert_string_equal(quantity_format_time(UINT64_C(86400000000000), text), "86400");
        assert_string_equal(quantity_format_time(1, text), "1e-09");
}

/* Three digits and the unit that fits, and rounding never gives a fourth digit. */
static void test_durations(void **state) {
        static const struct {
                double time;
                const char *text;
        } cases[] = {
                { 0, "0 ns" },         { 512, "512 ns" },      { 999.4, "999 ns" },
                { 999.6, "1.00 us" },  { 5123, "5.12 us" },    { 9996, "10.0 us" },
                { 99940, "99.9 us" },  { 99960, "100 us" },    { 999400, "999 us" },
                { 999600, "1.00 ms" }, { 31.75e6, "31.8 ms" }, { 999.6e6, "1.00 s" },
                { 3600e9, "3600 s" },
        };
        char text[QUANTITY_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_string_equal(quantity_format_duration(cases[i].time, text), cases[i].text);
}

/* A bandwidth is a size or a number of bits in the units of networks. */
/* A share is 100 % only if it is the whole. */
static void test_percents(void **state) {
        static const struct {
                double percent;
                int digits;
                const char *text;
        } cases[] = {
                { 100, 3, "100" },
                { 100, 2, "100" },
                { 100. * 2999 / 3000, 3, "99.97" },
                { 99.6, 2, "99.6" },
                { 99.4, 2, "99" },
                { 100. / 3, 3, "33.3" },
                { 50, 3, "50" },
                { 100. / 3000, 3, "0.0333" },
                { 0, 3, "0" },
        };
        char text[QUANTITY_TEXT_SIZE];

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
                assert_string_equal(quantity_format_percent(cases[i].percent, cases[i].digits,
                                                            text),
                                    cases[i].text);
}

static void test_bandwidths(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t bandwidth;
        } cases[] = {
                { "1", 0, 1 },          { "64K", 0, 65536 },         { "100Mbit", 0, 12500000 },
                { "8kbit", 0, 1000 },   { "1.5Gbit", 0, 187500000 }, { "2mbit", 0, 250000 },
                { "2bit", -EINVAL, 0 }, { "0", -ERANGE, 0 },         { "2Gbits", -EINVAL, 0 },
        };

        (void)state;
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                uint64_t bandwidth = 7;

                assert_int_equal(quantity_parse_bandwidth(cases[i].text, 1, UINT64_C(1) << 50,
                                                          &bandwidth),
                                 cases[i].r);
                assert_int_equal(bandwidth, cases[i].r == 0 ? cases[i].bandwidth : 7);
        }
        assert_int_equal(quantity_parse_size("2Mbit", 1, UINT64_MAX, &(uint64_t){ 0 }), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),    cmocka_unit_test(test_bandwidths),
                cmocka_unit_test(test_times),    cmocka_unit_test(test_formats),
                cmocka_unit_test(test_rates),    cmocka_unit_test(test_durations),
                cmocka_unit_test(test_percents),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
