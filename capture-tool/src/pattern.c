/* pattern.c - regular expressions as automata, run in lockstep over the text. See pattern.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The text of the expression becomes postfix order (two stacks: of operators, and of where each
 * operand begins, so that {m,n} can repeat it), that becomes an automaton, and that is run with one
 * thread per state. Threads are kept in the order of where their matches begin, so the first to
 * reach a state is the one to keep.
 */
#include "pattern.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 2000u
#define SETS   200u
#define DEPTH  100u
#define NONE   UINT16_MAX

enum kind {
    KIND_SET,
    KIND_EMPTY,
    KIND_LINE_START,
    KIND_LINE_END,
    KIND_STAR,
    KIND_PLUS,
    KIND_MAYBE,
    KIND_JOIN,
    KIND_EITHER,
    KIND_OPEN, /* on the stack of operators only */
    KIND_MATCH /* in the automaton only */
};

struct token {
    uint8_t kind;
    uint16_t set;
};

/* SET and the two line ends go to next; EITHER to both. */
struct node {
    uint8_t kind;
    uint16_t set, next, other;
};

struct thread {
    uint16_t node;
    size_t start;
};

struct pattern {
    uint8_t sets[SETS][32];
    size_t set_count;
    struct token tokens[TOKENS];
    size_t token_count;
    struct node nodes[TOKENS + 1];
    size_t node_count;
    uint16_t start;
    /* While it runs: */
    struct thread lists[2][TOKENS + 1];
    size_t counts[2];
    size_t marks[TOKENS + 1];
    size_t step;
    uint16_t stack[TOKENS + 2];
};

/* --- to postfix order */

struct compiler {
    struct pattern *pattern;
    struct problem *problem;
    const char *at;
    enum kind operators[DEPTH];
    size_t operator_count;
    size_t operands[DEPTH]; /* where each operand begins in the tokens */
    size_t operand_count;
};

static bool fail(struct compiler *compiler, const char *what)
{
    problem_set(compiler->problem, "%s at \"%.40s\" in the regular expression", what, compiler->at);
    return false;
}

static bool add_token(struct compiler *compiler, enum kind kind, size_t set)
{
    struct pattern *pattern = compiler->pattern;

    if (pattern->token_count == TOKENS)
        return fail(compiler, "it is too large");
    pattern->tokens[pattern->token_count++] =
        (struct token){.kind = (uint8_t)kind, .set = (uint16_t)set};
    return true;
}

static bool add_operand(struct compiler *compiler, enum kind kind, size_t set)
{
    if (compiler->operand_count == DEPTH)
        return fail(compiler, "it is too deep");
    compiler->operands[compiler->operand_count++] = compiler->pattern->token_count;
    return add_token(compiler, kind, set);
}

/* The operator on top takes its two operands. */
static bool apply(struct compiler *compiler)
{
    if (compiler->operand_count < 2)
        return fail(compiler, "something is missing");
    compiler->operand_count--;
    return add_token(compiler, compiler->operators[--compiler->operator_count], 0);
}

static bool push(struct compiler *compiler, enum kind kind)
{
    while (kind != KIND_OPEN && compiler->operator_count > 0 &&
           compiler->operators[compiler->operator_count - 1] != KIND_OPEN &&
           compiler->operators[compiler->operator_count - 1] <= kind)
        if (!apply(compiler))
            return false;
    if (compiler->operator_count == DEPTH)
        return fail(compiler, "it is too deep");
    compiler->operators[compiler->operator_count++] = kind;
    return true;
}

static void add_byte(uint8_t *set, unsigned byte)
{
    set[byte / 8] |= (uint8_t)(1u << byte % 8);
}

static bool add_class(uint8_t *set, const char *name, size_t size)
{
    static const struct {
        const char *name;
        int (*is)(int letter);
    } classes[] = {
        {"alpha", isalpha},   {"digit", isdigit}, {"alnum", isalnum}, {"space", isspace},
        {"xdigit", isxdigit}, {"upper", isupper}, {"lower", islower}, {"punct", ispunct},
        {"print", isprint},   {"blank", isblank},
    };

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (strlen(classes[i].name) != size || strncmp(classes[i].name, name, size) != 0)
            continue;
        for (int byte = 0; byte < 128; byte++)
            if (classes[i].is(byte))
                add_byte(set, (unsigned)byte);
        return true;
    }
    return false;
}

static void invert(uint8_t *set)
{
    for (size_t i = 0; i < 32; i++)
        set[i] = (uint8_t)~set[i];
    set['\n' / 8] &= (uint8_t) ~(1u << '\n' % 8);
}

static uint8_t *new_set(struct compiler *compiler)
{
    struct pattern *pattern = compiler->pattern;

    if (pattern->set_count == SETS) {
        fail(compiler, "it is too large");
        return NULL;
    }
    return pattern->sets[pattern->set_count++];
}

/* [:digit:] inside of brackets; at stands behind the "[:". */
static bool take_class(struct compiler *compiler, uint8_t *set)
{
    const char *end = strstr(compiler->at, ":]");

    if (!end || !add_class(set, compiler->at, (size_t)(end - compiler->at)))
        return fail(compiler, "there is no such class");
    compiler->at = end + 2;
    return true;
}

/* Behind the '['. */
static bool take_brackets(struct compiler *compiler, uint8_t *set)
{
    bool inverted = *compiler->at == '^', first = true;

    compiler->at += inverted;
    for (; *compiler->at != ']' || first; first = false) {
        unsigned from = (unsigned char)*compiler->at, to = from;

        if (!from)
            return fail(compiler, "a ] is missing");
        if (compiler->at[0] == '[' && compiler->at[1] == ':') {
            compiler->at += 2;
            if (!take_class(compiler, set))
                return false;
            continue;
        }
        compiler->at++;
        if (compiler->at[0] == '-' && compiler->at[1] && compiler->at[1] != ']') {
            to = (unsigned char)compiler->at[1];
            compiler->at += 2;
        }
        for (; from <= to; from++)
            add_byte(set, from);
    }
    compiler->at++;
    if (inverted)
        invert(set);
    return true;
}

static bool take_escape(struct compiler *compiler, uint8_t *set)
{
    char letter = *compiler->at;

    if (!letter)
        return fail(compiler, "something is missing behind the \\");
    compiler->at++;
    if (letter == 'd')
        return add_class(set, "digit", 5);
    if (letter == 's')
        return add_class(set, "space", 5);
    if (letter == 'w') {
        add_byte(set, '_');
        return add_class(set, "alnum", 5);
    }
    add_byte(set, (unsigned char)letter);
    return true;
}

static bool take_set(struct compiler *compiler)
{
    size_t number = compiler->pattern->set_count;
    uint8_t *set = new_set(compiler);
    char letter = *compiler->at++;

    if (!set)
        return false;
    if (letter == '.')
        invert(set);
    else if (letter == '[' && !take_brackets(compiler, set))
        return false;
    else if (letter == '\\' && !take_escape(compiler, set))
        return false;
    else if (letter != '.' && letter != '[' && letter != '\\')
        add_byte(set, (unsigned char)letter);
    return add_operand(compiler, KIND_SET, number);
}

/* The last operand as often as {least,most} says; most 0: without end. */
static bool repeat(struct compiler *compiler, unsigned least, unsigned most)
{
    struct pattern *pattern = compiler->pattern;
    size_t begin = compiler->operands[compiler->operand_count - 1];
    size_t size = pattern->token_count - begin;
    unsigned copies = most ? most : least ? least : 1;

    if (size > TOKENS / 2 || copies * (size + 2) > TOKENS - begin)
        return fail(compiler, "it is too large");
    for (unsigned i = 0; i < copies; i++) {
        if (i > 0) {
            memcpy(pattern->tokens + pattern->token_count, pattern->tokens + begin,
                   size * sizeof pattern->tokens[0]);
            pattern->token_count += size;
        }
        if (!most && i + 1 == copies && !add_token(compiler, least ? KIND_PLUS : KIND_STAR, 0))
            return false;
        if (most && i >= least && !add_token(compiler, KIND_MAYBE, 0))
            return false;
        if (i > 0 && !add_token(compiler, KIND_JOIN, 0))
            return false;
    }
    return true;
}

static bool take_number(struct compiler *compiler, unsigned *value)
{
    *value = 0;
    if (!isdigit((unsigned char)*compiler->at))
        return false;
    while (isdigit((unsigned char)*compiler->at) && *value < 1000)
        *value = *value * 10 + (unsigned)(*compiler->at++ - '0');
    return *value < 1000;
}

/* Behind the '{'. */
static bool take_bounds(struct compiler *compiler)
{
    unsigned least, most;

    if (!take_number(compiler, &least))
        return fail(compiler, "a number is missing");
    most = least;
    if (*compiler->at == ',') {
        compiler->at++;
        if (!take_number(compiler, &most))
            most = 0;
        else if (most < least || most == 0)
            return fail(compiler, "the bounds are wrong");
    } else if (least == 0) {
        return fail(compiler, "the bounds are wrong");
    }
    if (*compiler->at != '}')
        return fail(compiler, "a } is missing");
    compiler->at++;
    return repeat(compiler, least, most);
}

/* What may stand behind an operand: * + ? {}; *taken: there was one. */
static bool take_repetition(struct compiler *compiler, bool *taken)
{
    char letter = *compiler->at;

    *taken = letter && strchr("*+?{", letter);
    if (!*taken)
        return true;
    compiler->at++;
    if (letter == '{')
        return take_bounds(compiler);
    return add_token(compiler,
                     letter == '*'   ? KIND_STAR
                     : letter == '+' ? KIND_PLUS
                                     : KIND_MAYBE,
                     0);
}

static bool close_group(struct compiler *compiler)
{
    while (compiler->operator_count > 0 &&
           compiler->operators[compiler->operator_count - 1] != KIND_OPEN)
        if (!apply(compiler))
            return false;
    if (compiler->operator_count == 0)
        return fail(compiler, "a ( is missing");
    compiler->operator_count--;
    compiler->at++;
    return true;
}

/* One operand that is no group. */
static bool take_atom(struct compiler *compiler)
{
    switch (*compiler->at) {
    case '^':
        compiler->at++;
        return add_operand(compiler, KIND_LINE_START, 0);
    case '$':
        compiler->at++;
        return add_operand(compiler, KIND_LINE_END, 0);
    case '*':
    case '+':
    case '?':
    case '{':
        return fail(compiler, "nothing is there to repeat");
    default:
        return take_set(compiler);
    }
}

static bool compile(struct compiler *compiler)
{
    bool operand = false, repeated; /* operand: one has just ended */

    while (*compiler->at) {
        char letter = *compiler->at;

        if (letter == '|' || letter == ')') {
            if (!operand && !add_operand(compiler, KIND_EMPTY, 0))
                return false;
            operand = letter == ')';
            if (letter == ')' ? !close_group(compiler) : !push(compiler, KIND_EITHER))
                return false;
            compiler->at += letter == '|';
        } else {
            if (operand && !push(compiler, KIND_JOIN))
                return false;
            operand = letter != '(';
            if (letter == '(' ? !push(compiler, KIND_OPEN) : !take_atom(compiler))
                return false;
            compiler->at += letter == '(';
        }
        for (repeated = operand; repeated;)
            if (!take_repetition(compiler, &repeated))
                return false;
    }
    if (!operand && !add_operand(compiler, KIND_EMPTY, 0))
        return false;
    while (compiler->operator_count > 0) {
        if (compiler->operators[compiler->operator_count - 1] == KIND_OPEN)
            return fail(compiler, "a ) is missing");
        if (!apply(compiler))
            return false;
    }
    return true;
}

/* --- to an automaton */

/* A piece with one way in and one way out: an EMPTY node whose next is still open. */
struct piece {
    uint16_t in, out;
};

static uint16_t add_node(struct pattern *pattern, enum kind kind, uint16_t set, uint16_t next,
                         uint16_t other)
{
    pattern->nodes[pattern->node_count] =
        (struct node){.kind = (uint8_t)kind, .set = set, .next = next, .other = other};
    return (uint16_t)pattern->node_count++;
}

/* Every token makes at most two nodes. */
static void build_one(struct pattern *pattern, const struct token *token, struct piece *pieces,
                      size_t *count)
{
    struct piece *top = &pieces[*count - (*count > 0)], right;
    uint16_t fork;

    switch (token->kind) {
    case KIND_JOIN:
        right = pieces[--*count];
        top = &pieces[*count - 1];
        pattern->nodes[top->out].next = right.in;
        top->out = right.out;
        break;
    case KIND_EITHER:
        right = pieces[--*count];
        top = &pieces[*count - 1];
        top->in = add_node(pattern, KIND_EITHER, 0, top->in, right.in);
        pattern->nodes[top->out].next = right.out;
        top->out = right.out;
        break;
    case KIND_STAR:
    case KIND_PLUS:
        fork = add_node(pattern, KIND_EITHER, 0, top->in, NONE);
        pattern->nodes[top->out].next = fork;
        top->out = add_node(pattern, KIND_EMPTY, 0, NONE, NONE);
        pattern->nodes[fork].other = top->out;
        if (token->kind == KIND_STAR)
            top->in = fork;
        break;
    case KIND_MAYBE:
        top->in = add_node(pattern, KIND_EITHER, 0, top->in, top->out);
        break;
    default:
        top = &pieces[(*count)++];
        top->out = add_node(pattern, KIND_EMPTY, 0, NONE, NONE);
        top->in = add_node(pattern, (enum kind)token->kind, token->set, top->out, NONE);
        break;
    }
}

static bool build(struct compiler *compiler)
{
    struct pattern *pattern = compiler->pattern;
    struct piece pieces[TOKENS];
    size_t count = 0;

    if (pattern->token_count > TOKENS / 2)
        return fail(compiler, "it is too large");
    for (size_t i = 0; i < pattern->token_count; i++)
        build_one(pattern, &pattern->tokens[i], pieces, &count);
    pattern->nodes[pieces[0].out].next = add_node(pattern, KIND_MATCH, 0, NONE, NONE);
    pattern->start = pieces[0].in;
    return true;
}

struct pattern *pattern_new(const char *text, struct problem *problem)
{
    struct compiler compiler = {.problem = problem, .at = text};

    compiler.pattern = calloc(1, sizeof *compiler.pattern);
    if (!compiler.pattern) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    if (!compile(&compiler) || !build(&compiler)) {
        free(compiler.pattern);
        return NULL;
    }
    return compiler.pattern;
}

void pattern_free(struct pattern *pattern)
{
    free(pattern);
}

/* --- running */

struct place {
    const char *text;
    size_t size, at;
};

static bool holds(enum kind kind, const struct place *place)
{
    if (kind == KIND_LINE_START)
        return place->at == 0 || place->text[place->at - 1] == '\n';
    return place->at == place->size || place->text[place->at] == '\n';
}

/* Adds a thread in this node and in all that are reached without a byte. */
static void add_thread(struct pattern *pattern, int list, uint16_t node, size_t start,
                       const struct place *place)
{
    size_t depth = 0;

    pattern->stack[depth++] = node;
    while (depth > 0) {
        const struct node *at;

        node = pattern->stack[--depth];
        if (pattern->marks[node] == pattern->step)
            continue;
        pattern->marks[node] = pattern->step;
        at = &pattern->nodes[node];
        if (at->kind == KIND_EMPTY || at->kind == KIND_EITHER) {
            if (at->kind == KIND_EITHER)
                pattern->stack[depth++] = at->other;
            pattern->stack[depth++] = at->next;
        } else if (at->kind == KIND_LINE_START || at->kind == KIND_LINE_END) {
            if (holds((enum kind)at->kind, place))
                pattern->stack[depth++] = at->next;
        } else {
            pattern->lists[list][pattern->counts[list]++] =
                (struct thread){.node = node, .start = start};
        }
    }
}

static bool in_set(const struct pattern *pattern, uint16_t set, char letter)
{
    unsigned byte = (unsigned char)letter;

    return pattern->sets[set][byte / 8] >> byte % 8 & 1;
}

/* One byte on. *found and the match: the leftmost, then the longest. */
static void advance(struct pattern *pattern, int from, struct place *place, bool *found,
                    size_t *start, size_t *end)
{
    int to = !from;

    pattern->counts[to] = 0;
    pattern->step++;
    place->at++;
    for (size_t i = 0; i < pattern->counts[from]; i++) {
        const struct thread *thread = &pattern->lists[from][i];
        const struct node *node = &pattern->nodes[thread->node];

        if (*found && thread->start > *start)
            continue;
        if (node->kind == KIND_MATCH) {
            *found = true;
            *start = thread->start;
            *end = place->at - 1;
        } else if (place->at <= place->size &&
                   in_set(pattern, node->set, place->text[place->at - 1])) {
            add_thread(pattern, to, node->next, thread->start, place);
        }
    }
}

bool pattern_find(struct pattern *pattern, const char *text, size_t size, size_t *start,
                  size_t *end)
{
    struct place place = {.text = text, .size = size};
    bool found = false;
    int list = 0;

    pattern->counts[0] = 0;
    pattern->step++;
    while (place.at <= size) {
        if (!found)
            add_thread(pattern, list, pattern->start, place.at, &place);
        else if (pattern->counts[list] == 0)
            break;
        advance(pattern, list, &place, &found, start, end);
        list = !list;
    }
    return found;
}
