/* follow.c - reading a capture that grows. See follow.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "follow.h"

#include <errno.h>
#include <string.h>

#include "files.h"
#include "interrupt.h"
#include "thread.h"

#define LOOK 200u /* milliseconds between two looks at the end of the file */

static void rest(void)
{
    struct lock lock;
    struct condition condition;

    lock_init(&lock);
    condition_init(&condition);
    lock_take(&lock);
    condition_wait(&condition, &lock, LOOK);
    lock_release(&lock);
    condition_clear(&condition);
    lock_clear(&lock);
}

static ptrdiff_t read_more(void *context, void *buffer, size_t size, char *error, size_t error_size)
{
    struct follow *follow = context;
    ptrdiff_t got;

    while ((got = file_read(follow->file, buffer, size)) == 0 && interrupt_count() == 0) {
        follow->idle(follow->context);
        rest();
    }
    if (got < 0)
        snprintf(error, error_size, "%s", strerror(errno));
    return got;
}

struct cap_reader *follow_open(struct follow *follow, const char *path, struct problem *problem)
{
    struct cap_failure failure;
    struct cap_reader *reader;

    follow->file = file_open(path, "rb", problem);
    if (!follow->file)
        return NULL;
    reader = cap_reader_open_function(read_more, follow, &failure);
    if (!reader) {
        problem_set(problem, "%s: %s", path, failure.text);
        follow_end(follow);
    }
    return reader;
}

void follow_end(struct follow *follow)
{
    if (follow->file)
        file_close(follow->file);
    follow->file = NULL;
}
