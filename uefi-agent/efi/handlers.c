/* handlers.c - commands and ranges of memory that other programs add to a debug session.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "handlers.h"

#include "text.h"

static struct kda_handlers *handlers_of(void *self)
{
    return self;
}

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

/* The range that holds address; else NULL, and *span becomes the distance to the next one. */
static struct kda_range_entry *range_at(struct kda_handlers *handlers, uint64_t address,
                                        size_t *span)
{
    for (size_t i = 0; i < KDA_RANGES_MAX; i++) {
        struct kda_range_entry *range = &handlers->ranges[i];

        if (!range->size)
            continue;
        if (address >= range->base && address - range->base < range->size) {
            uint64_t left = range->size - (address - range->base);

            if (left < *span)
                *span = (size_t)left;
            return range;
        }
        if (range->base > address && range->base - address < *span)
            *span = (size_t)(range->base - address);
    }
    return NULL;
}

/* A handler's count cannot be believed blindly. */
static size_t at_most(UINTN count, size_t limit)
{
    return count > limit ? limit : (size_t)count;
}

static size_t read_range(const struct kda_range_entry *range, uint64_t address, uint8_t *out,
                         size_t size)
{
    return at_most(range->read(range->context, address - range->base, out, size), size);
}

static size_t write_range(const struct kda_range_entry *range, uint64_t address,
                          const uint8_t *bytes, size_t size)
{
    if (!range->write)
        return 0;
    return at_most(range->write(range->context, address - range->base, bytes, size), size);
}

static size_t read_virtual(void *self, uint64_t address, uint8_t *out, size_t size)
{
    struct kda_handlers *handlers = handlers_of(self);
    const struct kda_target *machine = &handlers->machine;
    size_t done = 0, span, count;

    for (; done < size; done += count) {
        struct kda_range_entry *range;

        span = size - done;
        range = range_at(handlers, address + done, &span);
        count = range ? read_range(range, address + done, out + done, span)
                      : machine->ops->read_virtual(machine->self, address + done, out + done, span);
        if (count < span)
            return done + count;
    }
    return done;
}

/* Appends UTF-8 to the answer; what does not fit is lost. */
static void answer_text(struct kda_handlers *handlers, size_t *used, const char *text)
{
    while (*text && *used + 1 < KDA_ANSWER_ROOM)
        handlers->answer[(*used)++] = *text++;
    handlers->answer[*used] = 0;
}

static void answer_help(struct kda_handlers *handlers, size_t *used)
{
    answer_text(handlers, used, "help  this list\n");
    for (size_t i = 0; i < KDA_COMMANDS_MAX; i++) {
        const struct kda_command_entry *entry = &handlers->commands[i];

        if (!entry->name[0])
            continue;
        answer_text(handlers, used, entry->name);
        answer_text(handlers, used, "  ");
        answer_text(handlers, used, entry->help);
        answer_text(handlers, used, "\n");
    }
}

static void answer_status(struct kda_handlers *handlers, size_t *used, const char *name,
                          EFI_STATUS status)
{
    char digits[] = " failed: status 0x0000000000000000\n";
    size_t last = sizeof digits - 3;
    uint64_t value = status;

    for (size_t i = 0; i < 16; i++, value >>= 4)
        digits[last - i] = "0123456789abcdef"[value & 15];
    answer_text(handlers, used, name);
    answer_text(handlers, used, digits);
}

static struct kda_command_entry *find_command(struct kda_handlers *handlers, const char *name)
{
    for (size_t i = 0; i < KDA_COMMANDS_MAX; i++) {
        if (handlers->commands[i].name[0] && kda_text_same(handlers->commands[i].name, name))
            return &handlers->commands[i];
    }
    return NULL;
}

static void run_handler(struct kda_handlers *handlers, const struct kda_command_entry *entry,
                        const char *arguments, size_t size)
{
    size_t room = sizeof handlers->answer16 / sizeof handlers->answer16[0], used;
    EFI_STATUS status;

    kda_text_to_utf16(arguments, size, handlers->arguments16, KDA_COMMAND_LINE);
    handlers->answer16[0] = 0;
    status = entry->run(entry->context, handlers->arguments16, handlers->answer16, room);
    used = kda_text_to_utf8(handlers->answer16, kda_text_length16(handlers->answer16, room),
                            handlers->answer, KDA_ANSWER_ROOM);
    if (status >> (8 * sizeof status - 1))
        answer_status(handlers, &used, entry->name, status);
}

static bool ends_line(char c)
{
    return !c || c == '\n' || c == '\r';
}

/* Runs what the line holds: NAME, blanks, arguments. */
static void run_line(struct kda_handlers *handlers)
{
    char name[KDAGENT_NAME_MAX + 1];
    const char *at = handlers->line, *end = at + KDA_COMMAND_LINE - 1;
    const struct kda_command_entry *entry;
    size_t used = 0, length = 0;

    while (at < end && *at == ' ')
        at++;
    while (at < end && !ends_line(*at) && *at != ' ' && length + 1 < sizeof name)
        name[length++] = *at++;
    name[length] = 0;
    while (at < end && *at == ' ')
        at++;
    for (length = 0; at + length < end && !ends_line(at[length]);)
        length++;
    handlers->answer[0] = 0;
    entry = find_command(handlers, name);
    if (entry) {
        run_handler(handlers, entry, at, length);
    } else if (kda_text_same(name, "help")) {
        answer_help(handlers, &used);
    } else if (name[0]) {
        answer_text(handlers, &used, "no command \"");
        answer_text(handlers, &used, name);
        answer_text(handlers, &used, "\"; \"help\" lists them\n");
    }
    for (size_t i = 0; i < KDA_COMMAND_LINE; i++)
        handlers->line[i] = 0;
}

/* Whether this write puts an end into the command line. */
static bool completes_line(const struct kda_handlers *handlers, uint64_t address,
                           const uint8_t *bytes, size_t size)
{
    uint64_t line = address_of(handlers->line);

    for (size_t i = 0; i < size; i++) {
        if (address + i >= line && address + i - line < KDA_COMMAND_LINE &&
            ends_line((char)bytes[i]))
            return true;
    }
    return false;
}

static size_t write_virtual(void *self, uint64_t address, const uint8_t *bytes, size_t size)
{
    struct kda_handlers *handlers = handlers_of(self);
    const struct kda_target *machine = &handlers->machine;
    size_t done = 0, span, count = 0;

    for (; done < size; done += count) {
        struct kda_range_entry *range;

        span = size - done;
        range = range_at(handlers, address + done, &span);
        count =
            range ? write_range(range, address + done, bytes + done, span)
                  : machine->ops->write_virtual(machine->self, address + done, bytes + done, span);
        if (count < span) {
            done += count;
            break;
        }
    }
    if (completes_line(handlers, address, bytes, done))
        run_line(handlers);
    return done;
}

/* The rest goes through; only self differs. */

static size_t read_physical(void *self, uint64_t address, uint8_t *out, size_t size,
                            uint32_t caching)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->read_physical(machine->self, address, out, size, caching);
}

static size_t write_physical(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                             uint32_t caching)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->write_physical(machine->self, address, bytes, size, caching);
}

static void query_page(void *self, uint64_t address, struct kda_page *page)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->query_page(machine->self, address, page);
}

static void get_context(void *self, struct kd_context_amd64 *out)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->get_context(machine->self, out);
}

static void set_context(void *self, const struct kd_context_amd64 *in)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->set_context(machine->self, in);
}

static void get_special(void *self, struct kd_special_registers_amd64 *out)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->get_special(machine->self, out);
}

static bool set_special(void *self, const struct kd_special_registers_amd64 *in)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->set_special(machine->self, in);
}

static uint32_t read_port(void *self, uint16_t port, unsigned size)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->read_port(machine->self, port, size);
}

static void write_port(void *self, uint16_t port, unsigned size, uint32_t value)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->write_port(machine->self, port, size, value);
}

static bool read_msr(void *self, uint32_t number, uint64_t *value)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->read_msr(machine->self, number, value);
}

static bool write_msr(void *self, uint32_t number, uint64_t value)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->write_msr(machine->self, number, value);
}

static size_t read_pci(void *self, unsigned bus, unsigned device, unsigned function,
                       unsigned offset, uint8_t *out, size_t size)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->read_pci(machine->self, bus, device, function, offset, out, size);
}

static size_t write_pci(void *self, unsigned bus, unsigned device, unsigned function,
                        unsigned offset, const uint8_t *bytes, size_t size)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->write_pci(machine->self, bus, device, function, offset, bytes, size);
}

static void reboot(void *self)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->reboot(machine->self);
}

static uint64_t now(void *self)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    return machine->ops->now(machine->self);
}

static void relax(void *self)
{
    const struct kda_target *machine = &handlers_of(self)->machine;

    machine->ops->relax(machine->self);
}

static const struct kda_target_ops handlers_ops = {
    .read_virtual = read_virtual,
    .write_virtual = write_virtual,
    .read_physical = read_physical,
    .write_physical = write_physical,
    .query_page = query_page,
    .get_context = get_context,
    .set_context = set_context,
    .get_special = get_special,
    .set_special = set_special,
    .read_port = read_port,
    .write_port = write_port,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .read_pci = read_pci,
    .write_pci = write_pci,
    .reboot = reboot,
    .now = now,
    .relax = relax,
};

void kda_handlers_init(struct kda_handlers *handlers, const struct kda_target *machine, char *line,
                       char *answer)
{
    *handlers = (struct kda_handlers){.machine = *machine, .line = line, .answer = answer};
}

struct kda_target kda_handlers_target(struct kda_handlers *handlers)
{
    return (struct kda_target){&handlers_ops, handlers};
}

/* What a command may be called, so that a user can type it. */
static bool is_name(const char *name)
{
    size_t size = 0;

    for (; name[size]; size++) {
        char c = name[size];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return size > 0 && size <= KDAGENT_NAME_MAX;
}

static void copy_text(char *out, size_t room, const char *text)
{
    size_t used = 0;

    while (used + 1 < room && text[used]) {
        out[used] = text[used];
        used++;
    }
    out[used] = 0;
}

enum kda_added kda_handlers_add_command(struct kda_handlers *handlers, const char *name,
                                        const char *help, KDAGENT_COMMAND run, void *context)
{
    if (!is_name(name) || !run)
        return KDA_WRONG;
    if (find_command(handlers, name) || kda_text_same(name, "help"))
        return KDA_TAKEN;
    for (size_t i = 0; i < KDA_COMMANDS_MAX; i++) {
        struct kda_command_entry *entry = &handlers->commands[i];

        if (entry->name[0])
            continue;
        *entry = (struct kda_command_entry){.run = run, .context = context};
        copy_text(entry->name, sizeof entry->name, name);
        copy_text(entry->help, sizeof entry->help, help);
        return KDA_ADDED;
    }
    return KDA_FULL;
}

bool kda_handlers_remove_command(struct kda_handlers *handlers, const char *name)
{
    struct kda_command_entry *entry = find_command(handlers, name);

    if (entry)
        *entry = (struct kda_command_entry){0};
    return entry != NULL;
}

static bool overlap(const struct kda_range_entry *a, const struct kda_range_entry *b)
{
    return a->base < b->base ? b->base - a->base < a->size : a->base - b->base < b->size;
}

enum kda_added kda_handlers_add_range(struct kda_handlers *handlers,
                                      const struct kda_range_entry *range)
{
    struct kda_range_entry *place = NULL;

    if (!range->size || !range->read || range->base > UINT64_MAX - (range->size - 1))
        return KDA_WRONG;
    for (size_t i = 0; i < KDA_RANGES_MAX; i++) {
        if (!handlers->ranges[i].size)
            place = place ? place : &handlers->ranges[i];
        else if (overlap(&handlers->ranges[i], range))
            return KDA_TAKEN;
    }
    if (!place)
        return KDA_FULL;
    *place = *range;
    return KDA_ADDED;
}

bool kda_handlers_remove_range(struct kda_handlers *handlers, uint64_t base)
{
    for (size_t i = 0; i < KDA_RANGES_MAX; i++) {
        if (handlers->ranges[i].size && handlers->ranges[i].base == base) {
            handlers->ranges[i] = (struct kda_range_entry){0};
            return true;
        }
    }
    return false;
}
