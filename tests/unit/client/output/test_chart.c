/* SPDX-License-Identifier: MIT */
/* The histogram as a picture: every value is in a row, and no row is too wide. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/output/chart.h"

static Histogram histogram;

static int clear(void **state) {
        (void)state;
        memset(&histogram, 0, sizeof histogram);
        return 0;
}

/* Draws, holds each row to @width and each count to its bar, and returns the sum of the counts;
 * @ret_rows is the number of rows. */
static uint64_t draw(int width, size_t *ret_rows) {
        uint64_t sum = 0, count;
        size_t size, rows = 0;
        char *text;
        FILE *file = open_memstream(&text, &size);

        assert_non_null(file);
        chart_print(&histogram, file, width);
        assert_int_equal(fclose(file), 0);
        for (char *row = strtok(text, "\n"); row != NULL; row = strtok(NULL, "\n")) {
                assert_in_range(strlen(row), 1, width - 1);
                count = strtoull(strrchr(row, ' '), NULL, 10);
                /* One value of thousands shows. */
                assert_int_equal(strchr(row, '#') != NULL, count > 0);
                sum += count;
                rows++;
        }
        free(text);
        *ret_rows = rows;
        return sum;
}

/* The rows add up, whatever the range and the width. */
static void test_all_are_drawn(void **state) {
        static const int widths[] = { 40, 79, 80, 300 };
        size_t rows;

        (void)state;
        srand48(862);
        for (uint64_t count = 1; count <= 3000; count++) {
                histogram_record(&histogram, (uint64_t)lrand48() >> (lrand48() % 30));
                if (count % 100 != 0)
                        continue;
                for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
                        assert_int_equal(draw(widths[i], &rows), count);
                        assert_in_range(rows, 9, 10);
                }
        }
}

/* Values that are all the same are one row; fewer than two are no picture. */
static void test_few(void **state) {
        size_t rows;

        (void)state;
        assert_int_equal(draw(80, &rows), 0);
        assert_int_equal(rows, 0);
        histogram_record(&histogram, 1000000);
        assert_int_equal(draw(80, &rows), 0);
        histogram_record(&histogram, 1000000);
        assert_int_equal(draw(80, &rows), 2);
        assert_int_equal(rows, 1);
}

/* Values that are spread evenly have rows that are: none is narrower than a bucket, or cuts one. */
static void test_even(void **state) {
        char *text, *row;
        size_t size;
        FILE *file;
        int rows = 0;

        (void)state;
        /* Buckets of 32 ns each. */
        for (uint64_t value = 40000; value < 40000 + 7 * 32; value++)
                histogram_record(&histogram, value);
        file = open_memstream(&text, &size);
        assert_non_null(file);
        chart_print(&histogram, file, 80);
        assert_int_equal(fclose(file), 0);
        for (row = strtok(text, "\n"); row != NULL; row = strtok(NULL, "\n"), rows++)
                assert_int_equal(strtoull(strrchr(row, ' '), NULL, 10), 32);
        assert_int_equal(rows, 7);
        free(text);
}

/* One value beside thousands, and nothing between them. */
static void test_rare(void **state) {
        size_t rows;

        (void)state;
        for (int i = 0; i < 5000; i++)
                histogram_record(&histogram, 1000000);
        histogram_record(&histogram, 2000000);
        assert_int_equal(draw(300, &rows), 5001);
        assert_in_range(rows, 9, 10);
}

/* The extremes, 0 and an hour, are in it as well. */
static void test_extremes(void **state) {
        size_t rows;

        (void)state;
        histogram_record(&histogram, 0);
        histogram_record(&histogram, UINT64_MAX);
        assert_int_equal(draw(80, &rows), 2);
        assert_in_range(rows, 9, 10);
}

/* The bar of the largest count takes what the terminal has beside it, 5 to 50 characters. */
static void test_bar(void **state) {
        static const struct {
                int width;
                size_t bar;
        } cases[] = { { 10, 5 }, { 33, 5 }, { 34, 6 }, { 77, 49 }, { 78, 50 }, { 79, 50 } };
        char text[128];
        FILE *file;

        (void)state;
        histogram_record(&histogram, 1000000);
        histogram_record(&histogram, 1000000);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
                file = fmemopen(text, sizeof text, "w");
                assert_non_null(file);
                chart_print(&histogram, file, cases[i].width);
                assert_int_equal(fclose(file), 0);
                assert_int_equal(strspn(strchr(text, '|') + 1, "#"), cases[i].bar);
                assert_string_equal(strchr(text, '|') + 1 + cases[i].bar, " 2\n");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_all_are_drawn, clear),
                cmocka_unit_test_setup(test_few, clear),
                cmocka_unit_test_setup(test_even, clear),
                cmocka_unit_test_setup(test_rare, clear),
                cmocka_unit_test_setup(test_extremes, clear),
                cmocka_unit_test_setup(test_bar, clear),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
