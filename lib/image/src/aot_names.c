/* aot_names.c - which method's code starts where, and the method's full name.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Section 327 leads from code to methods: pairs {i32 code, u32 token} in 8.0, later a stream of
 * commands that change the fields of the method before. Section 313, the metadata, is a blob of
 * records; a handle is a record's kind and its offset, in one integer. In 16.0 the kind has seven
 * bits, before it had eight. A name is written by a machine with a stack of its own: each item is a
 * piece of text, or a record that becomes several items.
 */
#include "aot_read.h"

#define METADATA_MAGIC UINT32_C(0xdeaddffd)
#define STACK_MAX      96u   /* items; a type nested 20 deep needs some 60 */
#define STEPS_MAX      2048u /* items that one name may be made of */
#define UNWRAP_MAX     4u    /* instantiation of qualified method of ... */

enum record {
    RECORD_NONE = 0x00,
    RECORD_ARRAY = 0x01,
    RECORD_BY_REFERENCE = 0x02,
    RECORD_STRING = 0x1a,
    RECORD_MEMBER_REFERENCE = 0x27,
    RECORD_METHOD = 0x28,
    RECORD_METHOD_INSTANTIATION = 0x29,
    RECORD_METHOD_SIGNATURE = 0x2b,
    RECORD_METHOD_VARIABLE = 0x2c,
    RECORD_NAMESPACE_DEFINITION = 0x2f,
    RECORD_NAMESPACE_REFERENCE = 0x30,
    RECORD_POINTER = 0x32,
    RECORD_QUALIFIED_METHOD = 0x36,
    RECORD_VECTOR = 0x37,
    RECORD_TYPE_DEFINITION = 0x3a,
    RECORD_TYPE_INSTANTIATION = 0x3c,
    RECORD_TYPE_REFERENCE = 0x3d,
    RECORD_TYPE_SPECIFICATION = 0x3e,
    RECORD_TYPE_VARIABLE = 0x3f,
};

struct handle {
    uint8_t kind; /* enum record, or what the image says */
    uint32_t offset;
};

enum item_kind {
    ITEM_RECORD, /* handle */
    ITEM_TEXT,
    ITEM_STRING, /* handle.offset */
    ITEM_NUMBER, /* handle.offset */
    ITEM_COMMAS, /* handle.offset of them */
    ITEM_LIST,   /* handle.offset: where the next handle is; left: how many there are */
};

struct item {
    enum item_kind kind;
    struct handle handle;
    uint32_t left;
    const char *text;
};

struct machine {
    const struct img_aot *aot;
    struct img_aot_name *name;
    struct item stack[STACK_MAX];
    unsigned depth;
    enum img_aot_status status;
};

static unsigned kind_bits(const struct img_aot *aot)
{
    return aot->major >= 16 ? 7 : 8;
}

static struct handle take_handle(struct aot_cursor *cursor)
{
    uint32_t value = aot_take_unsigned(cursor);
    unsigned bits = kind_bits(cursor->aot);

    return (struct handle){(uint8_t)(value & ((1u << bits) - 1)), value >> bits};
}

static struct handle token_handle(const struct img_aot *aot, uint32_t token)
{
    unsigned bits = 32 - kind_bits(aot);

    return (struct handle){(uint8_t)(token >> bits), token & ((UINT32_C(1) << bits) - 1)};
}

static uint32_t handle_token(const struct img_aot *aot, struct handle handle)
{
    return (uint32_t)handle.kind << (32 - kind_bits(aot)) | handle.offset;
}

/* Reads on in the metadata from this offset. */
static struct aot_cursor blob(const struct img_aot *aot, uint32_t offset)
{
    struct aot_cursor cursor =
        aot_cursor(aot, aot->metadata.start + offset, aot->metadata.start + aot->metadata.size);

    cursor.bad = offset >= aot->metadata.size;
    return cursor;
}

/* --- Writing */

static void put_byte(struct img_aot_name *name, char byte)
{
    if (name->cut || name->room - name->length < 2) {
        name->cut = true;
        return;
    }
    name->text[name->length++] = byte;
}

static void put_text(struct img_aot_name *name, const char *text)
{
    while (*text)
        put_byte(name, *text++);
}

static void put_number(struct img_aot_name *name, uint32_t number)
{
    char digits[10];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    while (count)
        put_byte(name, digits[--count]);
}

/* Ends the text, and takes back what is left of a character that was cut. */
static void finish(struct img_aot_name *name)
{
    size_t tail = 0;

    while (name->cut && tail < 3 && tail < name->length &&
           ((unsigned char)name->text[name->length - 1 - tail] & 0xc0) == 0x80)
        tail++;
    if (name->cut && tail < name->length) {
        unsigned char first = (unsigned char)name->text[name->length - 1 - tail];
        size_t need = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

        if (first >= 0xc0 && tail < need)
            name->length -= tail + 1;
    }
    if (name->room)
        name->text[name->length] = '\0';
}

static void put_string(struct machine *machine, uint32_t offset)
{
    struct aot_cursor cursor = blob(machine->aot, offset);
    uint32_t length = aot_take_unsigned(&cursor);

    if (length > cursor.end - cursor.at)
        cursor.bad = true;
    for (uint32_t i = 0; i < length && !cursor.bad && !machine->name->cut; i++) {
        uint8_t byte = aot_take8(&cursor);

        put_byte(machine->name, byte < 0x20 || byte == 0x7f ? '?' : (char)byte);
    }
    if (cursor.bad)
        machine->status = IMG_AOT_DAMAGED;
}

/* --- Items; pushed in reverse order */

static void push(struct machine *machine, struct item item)
{
    if (machine->depth == STACK_MAX) {
        machine->status = IMG_AOT_LIMIT;
        return;
    }
    machine->stack[machine->depth++] = item;
}

static void push_record(struct machine *machine, struct handle handle)
{
    push(machine, (struct item){.kind = ITEM_RECORD, .handle = handle});
}

static void push_text(struct machine *machine, const char *text)
{
    push(machine, (struct item){.kind = ITEM_TEXT, .text = text});
}

static void push_value(struct machine *machine, enum item_kind kind, uint32_t value)
{
    push(machine, (struct item){.kind = kind, .handle = {.offset = value}});
}

/* The handles at the cursor, after their number, as "a,b,c". */
static void push_list(struct machine *machine, struct aot_cursor *cursor)
{
    uint32_t count = aot_take_unsigned(cursor);

    push(machine, (struct item){.kind = ITEM_LIST,
                                .handle = {.offset = cursor->at - machine->aot->metadata.start},
                                .left = count});
}

static bool is_namespace(struct handle handle)
{
    return handle.kind == RECORD_NAMESPACE_DEFINITION || handle.kind == RECORD_NAMESPACE_REFERENCE;
}

static bool is_type(struct handle handle)
{
    return handle.kind == RECORD_TYPE_DEFINITION || handle.kind == RECORD_TYPE_REFERENCE;
}

/* A type in a namespace or in another type: the name, and what stands before it. */
static void push_type(struct machine *machine, struct handle parent, uint32_t name)
{
    if (name)
        push_value(machine, ITEM_STRING, name);
    if (is_type(parent))
        push_text(machine, "+");
    if (is_type(parent) || is_namespace(parent))
        push_record(machine, parent);
}

/* "Namespace." or, for the one without a name, nothing. */
static void expand_namespace(struct machine *machine, struct aot_cursor *cursor)
{
    struct handle parent = take_handle(cursor);
    uint32_t name = aot_take_unsigned(cursor);
    struct aot_cursor string = blob(machine->aot, name);

    if (name && aot_take_unsigned(&string) != 0) {
        push_text(machine, ".");
        push_value(machine, ITEM_STRING, name);
    }
    if (is_namespace(parent))
        push_record(machine, parent);
}

static void expand_definition(struct machine *machine, struct aot_cursor *cursor)
{
    struct handle parent = {.kind = RECORD_NAMESPACE_DEFINITION};
    uint32_t name, enclosing;

    aot_take_unsigned(cursor); /* flags */
    take_handle(cursor);       /* base type */
    parent.offset = aot_take_unsigned(cursor);
    name = aot_take_unsigned(cursor);
    aot_take_unsigned(cursor); /* size */
    aot_take_unsigned(cursor); /* packing */
    enclosing = aot_take_unsigned(cursor);
    if (enclosing)
        parent = (struct handle){RECORD_TYPE_DEFINITION, enclosing};
    else if (parent.offset == 0)
        parent.kind = RECORD_NONE;
    push_type(machine, parent, name);
}

static void expand_instantiation(struct machine *machine, struct aot_cursor *cursor)
{
    struct handle generic = take_handle(cursor);

    push_text(machine, ">");
    push_list(machine, cursor);
    push_text(machine, "<");
    push_record(machine, generic);
}

static void expand_array(struct machine *machine, struct aot_cursor *cursor)
{
    struct handle element = take_handle(cursor);
    uint32_t rank = aot_take_unsigned(cursor);

    push_text(machine, "]");
    push_value(machine, ITEM_COMMAS, rank ? rank - 1 : 0);
    push_text(machine, "[");
    push_record(machine, element);
}

static void expand_reference(struct machine *machine, struct aot_cursor *cursor)
{
    struct handle parent = take_handle(cursor);

    push_type(machine, parent, aot_take_unsigned(cursor));
}

static void expand_suffixed(struct machine *machine, struct aot_cursor *cursor, const char *suffix)
{
    push_text(machine, suffix);
    push_record(machine, take_handle(cursor));
}

static void expand_variable(struct machine *machine, struct aot_cursor *cursor, const char *prefix)
{
    push_value(machine, ITEM_NUMBER, aot_take_unsigned(cursor));
    push_text(machine, prefix);
}

static void expand(struct machine *machine, struct handle handle)
{
    struct aot_cursor cursor = blob(machine->aot, handle.offset);

    switch ((enum record)handle.kind) {
    case RECORD_ARRAY:
        expand_array(machine, &cursor);
        break;
    case RECORD_BY_REFERENCE:
        expand_suffixed(machine, &cursor, "&");
        break;
    case RECORD_STRING:
        push_value(machine, ITEM_STRING, handle.offset);
        break;
    case RECORD_METHOD_VARIABLE:
        expand_variable(machine, &cursor, "!!");
        break;
    case RECORD_NAMESPACE_DEFINITION:
    case RECORD_NAMESPACE_REFERENCE:
        expand_namespace(machine, &cursor);
        break;
    case RECORD_POINTER:
        expand_suffixed(machine, &cursor, "*");
        break;
    case RECORD_VECTOR:
        expand_suffixed(machine, &cursor, "[]");
        break;
    case RECORD_TYPE_DEFINITION:
        expand_definition(machine, &cursor);
        break;
    case RECORD_TYPE_INSTANTIATION:
        expand_instantiation(machine, &cursor);
        break;
    case RECORD_TYPE_REFERENCE:
        expand_reference(machine, &cursor);
        break;
    case RECORD_TYPE_SPECIFICATION:
        push_record(machine, take_handle(&cursor));
        break;
    case RECORD_TYPE_VARIABLE:
        expand_variable(machine, &cursor, "!");
        break;
    default:
        machine->name->unknown++;
        put_byte(machine->name, '?');
        break;
    }
    if (cursor.bad)
        machine->status = IMG_AOT_DAMAGED;
}

static void step_list(struct machine *machine, struct item item)
{
    struct aot_cursor cursor = blob(machine->aot, item.handle.offset);
    struct handle handle;

    if (item.left == 0)
        return;
    handle = take_handle(&cursor);
    if (cursor.bad) {
        machine->status = IMG_AOT_DAMAGED;
        return;
    }
    item.left--;
    item.handle.offset = cursor.at - machine->aot->metadata.start;
    push(machine, item);
    if (item.left)
        push_text(machine, ",");
    push_record(machine, handle);
}

static void step(struct machine *machine)
{
    struct item item = machine->stack[--machine->depth];

    switch (item.kind) {
    case ITEM_RECORD:
        expand(machine, item.handle);
        break;
    case ITEM_TEXT:
        put_text(machine->name, item.text);
        break;
    case ITEM_STRING:
        put_string(machine, item.handle.offset);
        break;
    case ITEM_NUMBER:
        put_number(machine->name, item.handle.offset);
        break;
    case ITEM_COMMAS:
        for (uint32_t i = 0; i < item.handle.offset && !machine->name->cut; i++)
            put_byte(machine->name, ',');
        break;
    case ITEM_LIST:
        step_list(machine, item);
        break;
    }
}

static enum img_aot_status run(struct machine *machine)
{
    unsigned steps = 0;

    while (machine->depth && machine->status == IMG_AOT_OK && !machine->name->cut) {
        if (steps++ == STEPS_MAX)
            machine->status = IMG_AOT_LIMIT;
        else
            step(machine);
    }
    finish(machine->name);
    return machine->status;
}

/* --- Methods */

/* What the record of a method says, taken apart until it is owner, name, signature, arguments. */
static enum img_aot_status unwrap(const struct img_aot *aot, uint32_t token,
                                  struct img_aot_method *method)
{
    struct handle handle = token_handle(aot, token), owner = {RECORD_NONE, 0};

    method->has_arguments = false;
    for (unsigned i = 0; i < UNWRAP_MAX; i++) {
        struct aot_cursor cursor = blob(aot, handle.offset);

        switch ((enum record)handle.kind) {
        case RECORD_METHOD_INSTANTIATION:
            handle = take_handle(&cursor);
            method->has_arguments = true;
            method->arguments = cursor.at - aot->metadata.start;
            break;
        case RECORD_QUALIFIED_METHOD:
            handle = (struct handle){RECORD_METHOD, aot_take_unsigned(&cursor)};
            owner = (struct handle){RECORD_TYPE_DEFINITION, aot_take_unsigned(&cursor)};
            break;
        case RECORD_METHOD:
            aot_take_unsigned(&cursor); /* flags */
            aot_take_unsigned(&cursor); /* implementation flags */
            method->owner = handle_token(aot, owner);
            method->name = aot_take_unsigned(&cursor);
            method->signature = aot_take_unsigned(&cursor);
            method->has_signature = true;
            return cursor.bad ? IMG_AOT_DAMAGED : IMG_AOT_OK;
        case RECORD_MEMBER_REFERENCE:
            method->owner = handle_token(aot, take_handle(&cursor));
            method->name = aot_take_unsigned(&cursor);
            handle = take_handle(&cursor);
            method->signature = handle.offset;
            method->has_signature = handle.kind == RECORD_METHOD_SIGNATURE;
            return cursor.bad ? IMG_AOT_DAMAGED : IMG_AOT_OK;
        default:
            return IMG_AOT_DAMAGED;
        }
        if (cursor.bad)
            return IMG_AOT_DAMAGED;
    }
    return IMG_AOT_LIMIT;
}

enum img_aot_status img_aot_methods(const struct img_aot *aot, struct img_aot_methods *walk)
{
    uint32_t magic;

    *walk = (struct img_aot_methods){.aot = aot, .at = aot->methods.start};
    walk->end = walk->at + aot->methods.size;
    if (aot->methods.size == 0 || aot->metadata.size == 0)
        return IMG_AOT_NO_SECTION;
    if (!aot_get32(aot, aot->metadata.start, &magic) || magic != METADATA_MAGIC)
        return IMG_AOT_DAMAGED;
    if (aot->major < 9) {
        walk->left = aot->methods.size / 8;
        return IMG_AOT_OK;
    }
    if (!aot_get32(aot, walk->at, &walk->left) || walk->left > aot->methods.size / 5)
        return IMG_AOT_DAMAGED;
    walk->at += 4;
    return IMG_AOT_OK;
}

static enum img_aot_status next_pair(struct img_aot_methods *walk)
{
    struct aot_cursor cursor = aot_cursor(walk->aot, walk->at, walk->end);
    uint32_t token;

    walk->method.rva = aot_take_relative(&cursor);
    token = aot_take32(&cursor);
    walk->at = cursor.at;
    if (cursor.bad)
        return IMG_AOT_DAMAGED;
    return unwrap(walk->aot, token, &walk->method);
}

enum command { OWNER = 1, NAME = 2, SIGNATURE = 4, ARGUMENTS = 8, HIDDEN = 0x10, COMMANDS = 0x1f };

static enum img_aot_status next_command(struct img_aot_methods *walk)
{
    struct aot_cursor cursor = aot_cursor(walk->aot, walk->at, walk->end);
    struct img_aot_method *method = &walk->method;
    uint8_t command = aot_take8(&cursor);

    if (command & ~(unsigned)COMMANDS)
        return IMG_AOT_DAMAGED;
    if (command & OWNER)
        method->owner = aot_take32(&cursor);
    if (command & NAME)
        method->name = aot_take_unsigned(&cursor);
    if (command & (SIGNATURE | ARGUMENTS)) {
        method->signature = aot_take_unsigned(&cursor);
        method->has_signature = true;
        method->has_arguments = (command & ARGUMENTS) != 0;
    }
    if (command & ARGUMENTS)
        method->arguments = aot_take_unsigned(&cursor);
    method->hidden = (command & HIDDEN) != 0;
    method->rva = aot_take_relative(&cursor);
    walk->at = cursor.at;
    return cursor.bad ? IMG_AOT_DAMAGED : IMG_AOT_OK;
}

enum img_aot_status img_aot_next_method(struct img_aot_methods *walk, struct img_aot_method *method)
{
    enum img_aot_status status;

    if (walk->left == 0)
        return IMG_AOT_END;
    walk->left--;
    status = walk->aot->major < 9 ? next_pair(walk) : next_command(walk);
    if (status != IMG_AOT_OK)
        walk->left = 0;
    *method = walk->method;
    return status;
}

enum img_aot_status img_aot_method_at(const struct img_aot *aot, uint32_t rva,
                                      struct img_aot_method *method)
{
    struct img_aot_methods walk;
    enum img_aot_status status = img_aot_methods(aot, &walk);

    while (status == IMG_AOT_OK) {
        status = img_aot_next_method(&walk, method);
        if (status == IMG_AOT_OK && method->rva == rva)
            return IMG_AOT_OK;
    }
    return status == IMG_AOT_END ? IMG_AOT_NOT_FOUND : status;
}

/* Pushes "(a,b)" of a method's signature {calling convention, generics, result, parameters}. */
static void push_parameters(struct machine *machine, uint32_t signature)
{
    struct aot_cursor cursor = blob(machine->aot, signature);

    aot_take_unsigned(&cursor);
    aot_take_unsigned(&cursor);
    take_handle(&cursor);
    push_text(machine, ")");
    push_list(machine, &cursor);
    push_text(machine, "(");
    if (cursor.bad)
        machine->status = IMG_AOT_DAMAGED;
}

enum img_aot_status img_aot_method_name(const struct img_aot *aot,
                                        const struct img_aot_method *method, bool parameters,
                                        struct img_aot_name *name)
{
    struct machine machine = {.aot = aot, .name = name};

    name->length = 0;
    name->cut = name->room == 0;
    name->unknown = 0;
    if (parameters && method->has_signature)
        push_parameters(&machine, method->signature);
    if (method->has_arguments) {
        struct aot_cursor cursor = blob(aot, method->arguments);

        push_text(&machine, ">");
        push_list(&machine, &cursor);
        push_text(&machine, "<");
        if (cursor.bad)
            machine.status = IMG_AOT_DAMAGED;
    }
    push_value(&machine, ITEM_STRING, method->name);
    push_text(&machine, ".");
    push_record(&machine, token_handle(aot, method->owner));
    return run(&machine);
}
