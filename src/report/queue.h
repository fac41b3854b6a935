/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct Queue Queue;

enum {
        QUEUE_SIZE = 1024 * 1024,
};

/*
 * Messages that wait to be sent, first in, first out, in memory that does not grow. All zeros is an
 * empty queue.
 */
struct Queue {
        size_t head;           /* of the first message, in bytes */
        size_t tail;           /* behind the last */
        char data[QUEUE_SIZE]; /* each message behind its size, a size_t */
};

/*
 * queue_add: adds a copy of the @size bytes at @message, at least 1. Returns whether there was
 * room.
 */
bool queue_add(Queue *queue, const char *message, size_t size);

/*
 * queue_first: the first message, valid until the queue is changed, and its size in @ret_size; NULL
 * when there is none.
 */
const char *queue_first(const Queue *queue, size_t *ret_size);

/*
 * queue_remove: removes the first message; there must be one.
 */
void queue_remove(Queue *queue);
