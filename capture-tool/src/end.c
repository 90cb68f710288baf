/* end.c - parsing the names of ends.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "end.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define ON_WINDOWS true
#else
#define ON_WINDOWS false
#endif

#define MAX_BAUD 20000000u

const struct end_form end_forms[] = {
    {"unix", "unix:PATH", "connect to the unix socket PATH", END_UNIX, !ON_WINDOWS},
    {"unix-listen", "unix-listen:PATH", "make the unix socket PATH, for this user only",
     END_UNIX_LISTEN, !ON_WINDOWS},
    {"tcp", "tcp:HOST:PORT", "connect by TCP; an IPv6 address in [ ]", END_TCP, true},
    {"tcp-listen", "tcp-listen:[ADDRESS:]PORT",
     "wait for a TCP connection, from this machine only unless an ADDRESS is given; port 0 takes a "
     "free one",
     END_TCP_LISTEN, true},
    {"pty", "pty[:LINK]", "a new pseudo terminal, which LINK will point to", END_PTY, !ON_WINDOWS},
    {"serial", "serial:DEVICE[,baud=N]", "a serial line, 8N1; 115200 baud", END_SERIAL,
     !ON_WINDOWS},
    {"exec", "exec:COMMAND", "standard input and output of a command of the shell", END_EXEC, true},
    {"stdio", "stdio:", "standard input and output of this program", END_STDIO, true},
    {"pipe", "pipe:NAME", "connect to the named pipe \\\\.\\pipe\\NAME", END_PIPE, ON_WINDOWS},
    {"pipe-listen", "pipe-listen:NAME", "make the named pipe, for this user of this machine only",
     END_PIPE_LISTEN, ON_WINDOWS},
    {"com", "com:COM3[,baud=N]", "a COM port, 8N1; 115200 baud", END_COM, ON_WINDOWS},
    {"vmbus", "vmbus:VM", "the VMBus channel of a Hyper-V virtual machine's debug agent", END_VMBUS,
     ON_WINDOWS},
    {NULL, NULL, NULL, END_STDIO, false},
};

const char *side_name(enum side side)
{
    return side == SIDE_DEBUGGER ? "debugger" : "target";
}

/* "unix:PATH, tcp:HOST:PORT, ..." */
static void list_forms(char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (const struct end_form *form = end_forms; form->name; form++) {
        int length;

        if (!form->available)
            continue;
        length = snprintf(out + used, room - used, "%s%s", used ? ", " : "", form->form);
        if (length < 0 || (size_t)length >= room - used)
            return;
        used += (size_t)length;
    }
}

static const struct end_form *find_form(const char *text, size_t size)
{
    for (const struct end_form *form = end_forms; form->name; form++)
        if (strlen(form->name) == size && memcmp(form->name, text, size) == 0)
            return form;
    return NULL;
}

static char *copy(const char *text, size_t size)
{
    char *out = malloc(size + 1);

    if (out) {
        memcpy(out, text, size);
        out[size] = '\0';
    }
    return out;
}

static bool out_of_memory(struct problem *problem)
{
    problem_set(problem, "out of memory");
    return false;
}

static bool wrong_form(const struct end_form *form, const char *text, const char *why,
                       struct problem *problem)
{
    problem_set(problem, "\"%s\": %s; expected %s", text, why, form->form);
    return false;
}

static bool parse_baud(const char *text, uint32_t *baud)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || value == 0 || value > MAX_BAUD)
        return false;
    *baud = (uint32_t)value;
    return true;
}

/* ",name=value" behind a place; what is before goes into end->place. */
static bool parse_settings(struct end *end, const struct end_form *form, const char *rest,
                           const char *setting, const char **value, struct problem *problem)
{
    const char *comma = strrchr(rest, ',');
    size_t length = strlen(setting);

    *value = NULL;
    if (comma && strncmp(comma + 1, setting, length) == 0 && comma[1 + length] == '=') {
        *value = comma + 2 + length;
        end->place = copy(rest, (size_t)(comma - rest));
    } else if (comma && strchr(comma, '=') && end->kind != END_VMBUS) {
        return wrong_form(form, end->text, "no such setting", problem);
    } else {
        end->place = copy(rest, strlen(rest));
    }
    return end->place || out_of_memory(problem);
}

static bool parse_serial(struct end *end, const struct end_form *form, const char *rest,
                         struct problem *problem)
{
    const char *value;

    end->baud = 115200;
    if (!parse_settings(end, form, rest, "baud", &value, problem))
        return false;
    if (value && !parse_baud(value, &end->baud))
        return wrong_form(form, end->text, "baud is no number from 1 to 20000000", problem);
    return true;
}

static bool parse_vmbus(struct end *end, const struct end_form *form, const char *rest,
                        struct problem *problem)
{
    const char *value;

    if (!parse_settings(end, form, rest, "library", &value, problem))
        return false;
    if (value) {
        end->library = copy(value, strlen(value));
        end->text[strlen(end->text) - strlen(value) - strlen(",library=")] = '\0';
    }
    return !value || end->library || out_of_memory(problem);
}

static bool is_port(const char *port, bool zero_allowed)
{
    char *end;
    unsigned long value;

    if (*port < '0' || *port > '9')
        return *port != '\0' && !strpbrk(port, ":/ ");
    value = strtoul(port, &end, 10);
    return *end == '\0' && value <= 65535 && (value != 0 || zero_allowed);
}

/* [HOST:]PORT, the last colon divides; an address with colons stands in brackets. */
static bool parse_tcp(struct end *end, const struct end_form *form, const char *rest,
                      struct problem *problem)
{
    const char *colon = strrchr(rest, ':');
    const char *host = rest, *port = colon ? colon + 1 : rest;
    size_t size = colon ? (size_t)(colon - rest) : 0;

    if (size >= 2 && host[0] == '[' && host[size - 1] == ']') {
        host++;
        size -= 2;
    } else if (memchr(host, ':', size)) {
        return wrong_form(form, end->text, "an IPv6 address must stand in [ ]", problem);
    }
    if (!is_port(port, end->kind == END_TCP_LISTEN))
        return wrong_form(form, end->text, "PORT is no number from 1 to 65535", problem);
    if (colon && size == 0)
        return wrong_form(form, end->text, "no address before the colon", problem);
    if (!colon && end->kind == END_TCP)
        return wrong_form(form, end->text, "HOST or PORT is missing", problem);
    end->place = size ? copy(host, size) : copy("127.0.0.1", 9);
    end->port = copy(port, strlen(port));
    return (end->place && end->port) || out_of_memory(problem);
}

/* What stands behind the kind and its colon. */
static bool parse_rest(struct end *end, const struct end_form *form, const char *rest,
                       struct problem *problem)
{
    switch (end->kind) {
    case END_TCP:
    case END_TCP_LISTEN:
        return parse_tcp(end, form, rest, problem);
    case END_SERIAL:
    case END_COM:
        return parse_serial(end, form, rest, problem);
    case END_VMBUS:
        return parse_vmbus(end, form, rest, problem);
    case END_STDIO:
        return !*rest || wrong_form(form, end->text, "nothing may follow", problem);
    case END_PTY:
        if (!*rest)
            return true;
        break;
    default:
        break;
    }
    end->place = copy(rest, strlen(rest));
    return end->place || out_of_memory(problem);
}

static bool needs_place(enum end_kind kind)
{
    return kind != END_STDIO && kind != END_PTY;
}

bool end_parse(struct end *end, const char *text, struct problem *problem)
{
    size_t size = strcspn(text, ":");
    const struct end_form *form = find_form(text, size);
    const char *rest = text[size] ? text + size + 1 : "";
    char forms[400];

    *end = (struct end){0};
    list_forms(forms, sizeof forms);
    if (!form || (!text[size] && needs_place(form->kind))) {
        problem_set(problem, "\"%s\" is not the name of an end; there are %s", text, forms);
        return false;
    }
    if (!form->available) {
        problem_set(problem, "\"%s\": %s is not available on this system; there are %s", text,
                    form->name, forms);
        return false;
    }
    end->kind = form->kind;
    end->text = copy(text, strlen(text));
    if (!end->text)
        return out_of_memory(problem);
    if (!parse_rest(end, form, rest, problem) ||
        (needs_place(end->kind) && !*end->place &&
         !wrong_form(form, end->text, "the name is missing", problem))) {
        end_clear(end);
        return false;
    }
    return true;
}

void end_clear(struct end *end)
{
    free(end->text);
    free(end->place);
    free(end->port);
    free(end->library);
    *end = (struct end){0};
}

bool end_listens(const struct end *end)
{
    return end->kind == END_UNIX_LISTEN || end->kind == END_TCP_LISTEN || end->kind == END_PTY ||
           end->kind == END_PIPE_LISTEN;
}

bool end_returns(const struct end *end)
{
    return end->kind != END_STDIO;
}
