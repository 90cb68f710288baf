/* control.c - the mailbox of requests to a running tap.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>

#include "channel.h"
#include "thread.h"

#define ROOM 16u

struct control {
    struct channel_loop *loop;
    struct lock lock;
    unsigned first, count;
    struct control_request requests[ROOM];
};

struct control *control_new(struct channel_loop *loop)
{
    struct control *control = calloc(1, sizeof *control);

    if (!control)
        return NULL;
    control->loop = loop;
    lock_init(&control->lock);
    return control;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    lock_clear(&control->lock);
    free(control);
}

bool control_post(struct control *control, enum control_kind kind, const char *text)
{
    bool room;

    lock_take(&control->lock);
    room = control->count < ROOM;
    if (room) {
        struct control_request *request =
            &control->requests[(control->first + control->count++) % ROOM];

        request->kind = kind;
        snprintf(request->text, sizeof request->text, "%s", text ? text : "");
    }
    lock_release(&control->lock);
    channel_loop_wake(control->loop);
    return room;
}

bool control_take(struct control *control, struct control_request *request)
{
    bool found;

    lock_take(&control->lock);
    found = control->count > 0;
    if (found) {
        *request = control->requests[control->first];
        control->first = (control->first + 1) % ROOM;
        control->count--;
    }
    lock_release(&control->lock);
    return found;
}
