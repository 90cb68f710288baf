/* debug_expression.c - two stacks, of values and of operators. See debug_expression.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_expression.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debug_modules.h"
#include "debug_registers.h"
#include "debug_target.h"

#define DEPTH 32u
#define WORD  128u

/* Memory functions are operators that wait for their ')'. */
enum operator{
    OP_OPEN,
    OP_AND,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_BYTE,
    OP_WORD,
    OP_DWORD,
    OP_POINTER
};

struct parser {
    struct debug_session *session;
    struct problem *problem;
    const char *at;
    uint64_t values[DEPTH];
    enum operator operators[DEPTH];
    size_t value_count, operator_count;
};

static bool is_word(char letter)
{
    return isalnum((unsigned char)letter) || letter == '_' || letter == '`' || letter == '@' ||
           letter == '$' || letter == '!' || letter == '.';
}

static bool fail(struct parser *parser, const char *what)
{
    problem_set(parser->problem, "%s at \"%.40s\"", what, parser->at);
    return false;
}

static bool push(struct parser *parser, uint64_t value)
{
    if (parser->value_count == DEPTH)
        return fail(parser, "the expression is too deep");
    parser->values[parser->value_count++] = value;
    return true;
}

static bool push_operator(struct parser *parser, enum operator op)
{
    if (parser->operator_count == DEPTH)
        return fail(parser, "the expression is too deep");
    parser->operators[parser->operator_count++] = op;
    return true;
}

/* --- words */

/* A hexadecimal or 0n number; false when the word is none. */
static bool number(const char *word, uint64_t *value)
{
    bool decimal = strncmp(word, "0n", 2) == 0;
    uint64_t base = decimal ? 10 : 16, sum = 0;
    const char *at = word + (decimal || strncmp(word, "0x", 2) == 0 ? 2 : 0);
    bool any = false;

    for (; *at; at++) {
        unsigned digit;

        if (*at == '`')
            continue;
        if (!isxdigit((unsigned char)*at))
            return false;
        digit = isdigit((unsigned char)*at) ? (unsigned)(*at - '0')
                                            : (unsigned)(tolower((unsigned char)*at) - 'a') + 10;
        if (digit >= base || sum > (UINT64_MAX - digit) / base)
            return false;
        sum = sum * base + digit;
        any = true;
    }
    *value = sum;
    return any;
}

/* Modules are asked for when the word is nothing else. */
static const struct debug_module *module_of(struct parser *parser, const char *name)
{
    const struct debug_module *module = modules_named(parser->session, name);
    struct problem ignored;

    if (module || !parser->session->stopped || !modules_list(parser->session, &ignored))
        return module;
    return modules_named(parser->session, name);
}

static bool module_value(struct parser *parser, const char *name, bool size, uint64_t *value)
{
    const struct debug_module *module = module_of(parser, name);

    if (!module) {
        problem_set(parser->problem, "%s is no number, register or module", name);
        return false;
    }
    *value = size ? module->size : module->base;
    return true;
}

static bool variable(const struct debug_session *session, const char *name, uint64_t *value)
{
    for (size_t i = 0; i < session->variable_count; i++)
        if (strcmp(session->variables[i].name, name) == 0) {
            *value = session->variables[i].value;
            return true;
        }
    return false;
}

static bool dollar(struct parser *parser, const char *word, uint64_t *value)
{
    const struct debug_stop *stop = &parser->session->stop;

    if (variable(parser->session, word + 1, value))
        return true;
    if (strcmp(word, "$exception") == 0)
        *value = stop->code;
    else if (strcmp(word, "$address") == 0)
        *value = stop->address;
    else if (strcmp(word, "$processor") == 0)
        *value = stop->processor;
    else if (strcmp(word, "$pc") == 0 || strcmp(word, "$ip") == 0 || strcmp(word, "$sp") == 0)
        return registers_get(parser->session, word, value, parser->problem);
    else
        return registers_get(parser->session, word + 1, value, parser->problem);
    return true;
}

static bool word_value(struct parser *parser, const char *word, uint64_t *value)
{
    struct problem ignored;

    if (word[0] == '$')
        return dollar(parser, word, value);
    if (word[0] == '@')
        return registers_get(parser->session, word + 1, value, parser->problem);
    if (number(word, value))
        return true;
    if (parser->session->stopped && !parser->session->version_known)
        target_version(parser->session, &ignored);
    if (registers_known(parser->session, word))
        return registers_get(parser->session, word, value, parser->problem);
    return module_value(parser, word, false, value);
}

static void take_word(struct parser *parser, char *word)
{
    size_t size = 0;

    while (is_word(*parser->at)) {
        if (size + 1 < WORD)
            word[size++] = *parser->at;
        parser->at++;
    }
    word[size] = '\0';
}

/* $base(m) and $size(m): the name of a module is no expression. */
static bool module_function(struct parser *parser, const char *word, uint64_t *value)
{
    char name[WORD];

    parser->at++;
    take_word(parser, name);
    if (*parser->at != ')')
        return fail(parser, "a ) is missing");
    parser->at++;
    return module_value(parser, name, strcmp(word, "$size") == 0, value);
}

static bool memory_function(const char *word, enum operator* op)
{
    static const struct {
        const char *name;
        enum operator op;
    } functions[] = {
        {"by", OP_BYTE},     {"wo", OP_WORD},     {"dwo", OP_DWORD},
        {"poi", OP_POINTER}, {"qwo", OP_POINTER},
    };

    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(functions[i].name, word) == 0) {
            *op = functions[i].op;
            return true;
        }
    return false;
}

/* --- operators */

static bool apply(struct parser *parser)
{
    uint64_t right, *left;

    if (parser->value_count < 2)
        return fail(parser, "a value is missing");
    right = parser->values[--parser->value_count];
    left = &parser->values[parser->value_count - 1];
    switch (parser->operators[--parser->operator_count]) {
    case OP_ADD:
        *left += right;
        break;
    case OP_SUBTRACT:
        *left -= right;
        break;
    case OP_MULTIPLY:
        *left *= right;
        break;
    default:
        *left &= right;
        break;
    }
    return true;
}

static unsigned rank(enum operator op)
{
    return op == OP_MULTIPLY ? 3 : op == OP_ADD || op == OP_SUBTRACT ? 2 : op == OP_AND ? 1 : 0;
}

/* Applies what binds at least as strongly. */
static bool reduce(struct parser *parser, unsigned least)
{
    while (parser->operator_count > 0 &&
           rank(parser->operators[parser->operator_count - 1]) >= least)
        if (!apply(parser))
            return false;
    return true;
}

static bool close_bracket(struct parser *parser)
{
    static const uint8_t sizes[] = {[OP_BYTE] = 1, [OP_WORD] = 2, [OP_DWORD] = 4, [OP_POINTER] = 8};
    enum operator op;
    uint64_t *value;

    if (!reduce(parser, 1))
        return false;
    if (parser->operator_count == 0 || parser->value_count == 0)
        return fail(parser, "a ( is missing");
    op = parser->operators[--parser->operator_count];
    value = &parser->values[parser->value_count - 1];
    return op == OP_OPEN ||
           target_read_number(parser->session, *value,
                              op == OP_POINTER && parser->session->arch == KD_ARCH_X86 ? 4
                                                                                       : sizes[op],
                              value, parser->problem);
}

/* A value, an opening bracket, or a sign. *wants: whether a value is still to come. */
static bool take_operand(struct parser *parser, bool *wants)
{
    char word[WORD];
    enum operator op;
    uint64_t value;

    if (*parser->at == '(') {
        parser->at++;
        return push_operator(parser, OP_OPEN);
    }
    if (*parser->at == '-') {
        parser->at++;
        return push(parser, 0) && push_operator(parser, OP_SUBTRACT);
    }
    if (!is_word(*parser->at))
        return fail(parser, "a value is missing");
    take_word(parser, word);
    if (*parser->at == '(' && memory_function(word, &op)) {
        parser->at++;
        return push_operator(parser, op);
    }
    *wants = false;
    if (*parser->at == '(' && (strcmp(word, "$base") == 0 || strcmp(word, "$size") == 0))
        return module_function(parser, word, &value) && push(parser, value);
    return word_value(parser, word, &value) && push(parser, value);
}

static bool take_operator(struct parser *parser, bool *wants)
{
    static const char signs[] = "&+-*";
    const char *sign = strchr(signs, *parser->at);
    enum operator op;

    if (*parser->at == ')') {
        parser->at++;
        return close_bracket(parser);
    }
    if (!sign)
        return fail(parser, "an operator is missing");
    parser->at++;
    op = (enum operator)(OP_AND + (sign - signs));
    *wants = true;
    return reduce(parser, rank(op)) && push_operator(parser, op);
}

bool expression_value(struct debug_session *session, const char *text, uint64_t *value,
                      struct problem *problem)
{
    struct parser parser = {.session = session, .problem = problem, .at = text};
    bool wants = true;

    for (;;) {
        while (*parser.at == ' ')
            parser.at++;
        if (!*parser.at)
            break;
        if (wants ? !take_operand(&parser, &wants) : !take_operator(&parser, &wants))
            return false;
    }
    if (wants)
        return fail(&parser, "a value is missing");
    if (!reduce(&parser, 1))
        return false;
    if (parser.operator_count > 0 || parser.value_count != 1)
        return fail(&parser, "a ) is missing");
    *value = parser.values[0];
    return true;
}

bool expression_set(struct debug_session *session, const char *name, uint64_t value)
{
    struct debug_variable *variable = session->variables;

    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_')
            return false;
    for (size_t i = 0; i < session->variable_count; i++, variable++)
        if (strcmp(variable->name, name) == 0)
            break;
    if (variable == session->variables + session->variable_count) {
        if (session->variable_count == SESSION_VARIABLES || !*name ||
            strlen(name) >= sizeof variable->name)
            return false;
        session->variable_count++;
        snprintf(variable->name, sizeof variable->name, "%s", name);
    }
    variable->value = value;
    return true;
}
