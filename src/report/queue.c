/* SPDX-License-Identifier: MIT */
/*
 * A queue of messages in one fixed buffer. Each message lies behind its size; when the end of the
 * buffer is reached, queue_add() moves the queued messages to the front. The queue never grows, and
 * refuses a message that does not fit.
 */
#include "report/queue.h"

#include <string.h>

bool queue_add(Queue *queue, const char *message, size_t size) {
        const size_t needed = sizeof size + size;

        if (queue->head > 0 && QUEUE_SIZE - queue->tail < needed) {
                memmove(queue->data, queue->data + queue->head, queue->tail - queue->head);
                queue->tail -= queue->head;
                queue->head = 0;
        }
        if (QUEUE_SIZE - queue->tail < needed)
                return false;
        memcpy(queue->data + queue->tail, &size, sizeof size);
        memcpy(queue->data + queue->tail + sizeof size, message, size);
        queue->tail += needed;
        return true;
}

const char *queue_first(const Queue *queue, size_t *ret_size) {
        if (queue->head == queue->tail)
                return NULL;
        memcpy(ret_size, queue->data + queue->head, sizeof *ret_size);
        return queue->data + queue->head + sizeof *ret_size;
}

void queue_remove(Queue *queue) {
        size_t size;

        memcpy(&size, queue->data + queue->head, sizeof size);
        queue->head += sizeof size + size;
        if (queue->head == queue->tail)
                queue->head = queue->tail = 0;
}
