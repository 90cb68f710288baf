/* line_editor_libedit.c - line_editor.h by libedit and the terminal's cursor movements.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The lock is held whenever libedit runs, but while it waits for a key: then the line can be wiped,
 * and drawn again below what was printed, even amid a key's escape sequence. libedit does not tell
 * where on the terminal its cursor is, so the row is worked out from prompt, line and columns.
 *
 * While a line is typed, Ctrl-C, Ctrl-Z and Ctrl-\ are keys. Ctrl-C drops the line, and only
 * without a line it is the signal. While a command runs, keys are not shown amid what it prints;
 * they are there when the next line is typed.
 */
#include "line_editor.h"

#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "line_history.h"
#include "thread.h"

#define LINE_SIZE     4096u
#define HISTORY_LINES 1000
#define IDLE_PERIOD   60000u
#define TAB_STOP      8u
#define COLUMNS       80u /* when the terminal does not tell */
#define LIST_GAP      2u

struct line_editor {
    EditLine *el;
    History *history;
    const struct line_completer *completer;
    locale_t locale; /* what is typed, is in it; 0: as the program's */
    int wake;
    struct termios before; /* of the terminal */
    /* Under the lock: */
    struct lock lock;
    struct condition changed;
    const char *prompt;
    bool asked;
    bool typing;
    bool stopping;
    unsigned column; /* where what was printed ends, when it is amid a line */
    bool below;      /* the line stands in the row below that */
    struct winsize size;
    /* The reading thread's: */
    char line[LINE_SIZE];
};

static void enter(struct line_editor *editor)
{
    lock_take(&editor->lock);
    if (editor->locale)
        uselocale(editor->locale);
}

static void leave(struct line_editor *editor)
{
    uselocale(LC_GLOBAL_LOCALE);
    lock_release(&editor->lock);
}

static struct line_editor *editor_of(EditLine *el)
{
    void *editor = NULL;

    el_get(el, EL_CLIENTDATA, &editor);
    return editor;
}

/* --- places on the terminal */

struct place {
    unsigned row, column;
};

static unsigned columns_of(const struct line_editor *editor)
{
    return editor->size.ws_col > 1 ? editor->size.ws_col : COLUMNS;
}

/* Over one character, as libedit shows it: control codes as ^X, what cannot be printed by number.
 * A full row goes on in the next one. */
static void step(struct place *place, unsigned columns, wchar_t character)
{
    int shown = wcwidth(character);
    unsigned width = character == L'\t' ? TAB_STOP - place->column % TAB_STOP
                     : shown >= 0       ? (unsigned)shown
                     : character < 0x80 ? 2
                                        : 8;

    if (place->column + width > columns)
        *place = (struct place){.row = place->row + 1};
    place->column += width;
    if (place->column >= columns)
        *place = (struct place){.row = place->row + 1};
}

static void step_over(struct place *place, unsigned columns, const char *text, size_t size)
{
    mbstate_t state = {0};

    while (size > 0) {
        wchar_t character;
        size_t taken = mbrtowc(&character, text, size, &state);

        if (taken == 0 || taken > size) { /* not of this locale: one column each */
            state = (mbstate_t){0};
            character = L' ';
            taken = 1;
        }
        step(place, columns, character);
        text += taken;
        size -= taken;
    }
}

/* The rows above the cursor that prompt and line have. */
static unsigned rows_above(const struct line_editor *editor)
{
    const LineInfoW *line = el_wline(editor->el);
    unsigned columns = columns_of(editor);
    struct place place = {0};

    step_over(&place, columns, editor->prompt, strlen(editor->prompt));
    for (const wchar_t *at = line->buffer; at < line->cursor; at++)
        step(&place, columns, *at);
    return place.row;
}

/* --- the line off and on the terminal */

static void wipe(const struct line_editor *editor)
{
    unsigned rows = rows_above(editor);

    fputc('\r', stdout);
    if (rows > 0)
        printf("\033[%uA", rows);
    fputs("\033[J", stdout);
}

/* The cursor back to the end of what was printed. */
static void rise(struct line_editor *editor)
{
    if (editor->below)
        printf("\033[A\033[%uC", editor->column);
    editor->below = false;
}

/* The cursor to where the line begins. */
static void descend(struct line_editor *editor)
{
    editor->below = editor->column > 0;
    if (editor->below)
        fputc('\n', stdout);
}

static void redraw(const struct line_editor *editor)
{
    el_set(editor->el, EL_REFRESH);
    fflush(stdout);
}

/* With the lock: has the terminal another size now? */
static void follow_size(struct line_editor *editor)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 ||
        (size.ws_col == editor->size.ws_col && size.ws_row == editor->size.ws_row))
        return;
    editor->size = size;
    if (!editor->typing)
        return;
    wipe(editor);
    el_resize(editor->el);
    redraw(editor);
}

void line_editor_hide(struct line_editor *editor)
{
    enter(editor);
    follow_size(editor);
    if (!editor->typing)
        return;
    wipe(editor);
    rise(editor);
}

void line_editor_printed(struct line_editor *editor, const char *text, size_t size)
{
    const char *end = memrchr(text, '\n', size);
    struct place place = {.column = end ? 0 : editor->column};

    if (end)
        size -= (size_t)(end + 1 - text);
    step_over(&place, columns_of(editor), end ? end + 1 : text, size);
    editor->column = place.column;
}

void line_editor_show(struct line_editor *editor)
{
    if (editor->typing) {
        descend(editor);
        redraw(editor);
    }
    leave(editor);
}

/* --- keys */

static void wait_for_key(struct line_editor *editor)
{
    struct pollfd both[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = editor->wake, .events = POLLIN}};

    leave(editor);
    poll(both, 2, -1);
    enter(editor);
}

/* The next byte of the terminal; 0 at its end, and when the program wants to end. */
static int take_byte(struct line_editor *editor, char *byte)
{
    ssize_t got;

    do {
        wait_for_key(editor);
        if (editor->stopping)
            return 0;
        follow_size(editor);
        got = read(STDIN_FILENO, byte, 1);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    return got == 1;
}

/* libedit wants a character. */
static int take_character(EditLine *el, wchar_t *character)
{
    struct line_editor *editor = editor_of(el);
    mbstate_t state = {0};
    int result = 0;
    char byte;

    fflush(stdout);
    editor->typing = true;
    while (take_byte(editor, &byte)) {
        size_t taken = mbrtowc(character, &byte, 1, &state);

        if (taken == 0 || taken == 1) {
            result = 1;
            break;
        }
        if (taken == (size_t)-1) /* dropped */
            state = (mbstate_t){0};
    }
    if (editor->stopping) {
        wipe(editor);
        rise(editor);
        fflush(stdout);
    }
    editor->typing = false;
    return result;
}

static unsigned char drop_line(EditLine *el, int key)
{
    const LineInfo *line = el_line(el);

    (void)key;
    if (line->lastchar == line->buffer) {
        raise(SIGINT);
        return CC_NORM;
    }
    wipe(editor_of(el));
    return CC_FATAL; /* for libedit: begin this line anew */
}

/* As the terminal does it to the whole process group; meanwhile it is as it was. raise returns when
 * the program goes on, kill alone would return at once. */
static void be_signalled(struct line_editor *editor, int number)
{
    wipe(editor);
    fflush(stdout);
    el_set(editor->el, EL_PREP_TERM, 0);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &editor->before);
    kill(0, number);
    raise(number);
    el_set(editor->el, EL_PREP_TERM, 1);
    redraw(editor);
}

static unsigned char suspend(EditLine *el, int key)
{
    (void)key;
    be_signalled(editor_of(el), SIGTSTP);
    return CC_NORM;
}

static unsigned char quit(EditLine *el, int key)
{
    (void)key;
    be_signalled(editor_of(el), SIGQUIT);
    return CC_NORM;
}

/* --- completion */

struct matches {
    char before[LINE_SIZE]; /* the line up to the cursor */
    struct line_spot spot;
    size_t count;
    size_t longest;
    const char *first;
    size_t common; /* bytes that all begin with */
};

/* The next word from *index on that begins with what is typed. */
static const char *next_match(const struct line_editor *editor, struct matches *matches,
                              size_t *index)
{
    const struct line_completer *completer = editor->completer;
    const char *word;

    while ((word = completer->word(completer->context, matches->before, *index, &matches->spot)) !=
           NULL) {
        const char *typed = matches->before + matches->spot.start;

        (*index)++;
        if (strncmp(word, typed, strlen(typed)) == 0)
            return word;
    }
    return NULL;
}

static void find_matches(const struct line_editor *editor, struct matches *matches)
{
    const char *word;

    for (size_t index = 0; (word = next_match(editor, matches, &index)) != NULL;) {
        size_t size = strlen(word), same = 0;

        if (matches->count++ == 0) {
            matches->first = word;
            matches->common = size;
        }
        while (same < matches->common && word[same] == matches->first[same])
            same++;
        matches->common = same;
        if (size > matches->longest)
            matches->longest = size;
    }
}

/* Above the line, as many in a row as there is room for. */
static void list_matches(struct line_editor *editor, struct matches *matches)
{
    unsigned columns = columns_of(editor), width = (unsigned)matches->longest + LIST_GAP;
    unsigned each = columns / width > 0 ? columns / width : 1, placed = 0;
    const char *word;

    wipe(editor);
    for (size_t index = 0; (word = next_match(editor, matches, &index)) != NULL;) {
        placed++;
        printf("%-*s", placed % each == 0 ? 1 : (int)width, word);
        if (placed % each == 0 || placed == matches->count)
            fputc('\n', stdout);
    }
    editor->column = 0;
    editor->below = false;
    redraw(editor);
}

/* Tab: puts in what is certain; when nothing is, shows what is possible. */
static unsigned char complete(EditLine *el, int key)
{
    struct line_editor *editor = editor_of(el);
    const LineInfo *line = el_line(el);
    size_t size = (size_t)(line->cursor - line->buffer), typed;
    struct matches matches = {.count = 0};
    char text[LINE_SIZE + 1];

    (void)key;
    if (size >= sizeof matches.before)
        return CC_ERROR;
    memcpy(matches.before, line->buffer, size);
    find_matches(editor, &matches);
    if (matches.count == 0)
        return CC_ERROR;
    typed = size - matches.spot.start;
    snprintf(text, sizeof text, "%.*s%s", (int)(matches.common - typed), matches.first + typed,
             matches.count == 1 && matches.spot.blank_after ? " " : "");
    if (*text)
        return el_insertstr(el, text) == 0 ? CC_REFRESH : CC_ERROR;
    if (matches.count == 1)
        return CC_NORM;
    list_matches(editor, &matches);
    return CC_NORM;
}

/* --- making and freeing */

static char *prompt_of(EditLine *el)
{
    /* libedit only reads it, but does not say so. */
    return (char *)(uintptr_t)editor_of(el)->prompt;
}

static bool can_edit(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && kind && *kind &&
           strcmp(kind, "dumb") != 0 && strcmp(kind, "emacs") != 0;
}

/* What a person's ~/.editrc says afterwards, counts. */
static void set_keys(EditLine *el)
{
    static const char *const keys[][2] = {
        {"^I", "kdlens-complete"},         {"^C", "kdlens-drop-line"},
        {"^Z", "kdlens-suspend"},          {"^\\", "kdlens-quit"},
        {"^R", "em-inc-search-prev"},      {"^W", "ed-delete-prev-word"},
        {"\\e[1;5C", "em-next-word"},      {"\\e[1;5D", "ed-prev-word"},
        {"\\e[3~", "ed-delete-next-char"}, {"\\e[H", "ed-move-to-beg"},
        {"\\e[F", "ed-move-to-end"},
    };

    el_set(el, EL_EDITOR, "emacs");
    el_set(el, EL_ADDFN, "kdlens-complete", "complete the word", complete);
    el_set(el, EL_ADDFN, "kdlens-drop-line", "drop the line, or interrupt", drop_line);
    el_set(el, EL_ADDFN, "kdlens-suspend", "stop the program", suspend);
    el_set(el, EL_ADDFN, "kdlens-quit", "quit the program", quit);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    el_set(el, EL_SETTY, "-d", "-isig", NULL);
    el_set(el, EL_SETTY, "-x", "-echo", NULL);
    el_source(el, NULL);
}

static void remember(void *context, const char *line)
{
    struct line_editor *editor = context;
    HistEvent event;

    history(editor->history, &event, H_ENTER, line);
}

static bool set_up(struct line_editor *editor)
{
    HistEvent event;

    editor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (tcgetattr(STDIN_FILENO, &editor->before) != 0)
        return false;
    editor->el = el_init("kdlens", stdin, stdout, stderr);
    editor->history = history_init();
    if (editor->wake < 0 || !editor->el || !editor->history)
        return false;
    editor->locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    el_set(editor->el, EL_CLIENTDATA, editor);
    el_set(editor->el, EL_PROMPT, prompt_of);
    el_set(editor->el, EL_GETCFN, take_character);
    set_keys(editor->el);
    history(editor->history, &event, H_SETSIZE, HISTORY_LINES);
    history(editor->history, &event, H_SETUNIQUE, 1);
    el_set(editor->el, EL_HIST, history, editor->history);
    line_history_load(remember, editor);
    return true;
}

struct line_editor *line_editor_new(const struct line_completer *completer)
{
    struct line_editor *editor = can_edit() ? calloc(1, sizeof *editor) : NULL;

    if (!editor)
        return NULL;
    editor->completer = completer;
    editor->prompt = "";
    lock_init(&editor->lock);
    condition_init(&editor->changed);
    if (set_up(editor))
        return editor;
    line_editor_free(editor);
    return NULL;
}

void line_editor_free(struct line_editor *editor)
{
    if (!editor)
        return;
    if (editor->el)
        el_end(editor->el);
    if (editor->history)
        history_end(editor->history);
    if (editor->locale)
        freelocale(editor->locale);
    if (editor->wake >= 0)
        close(editor->wake);
    condition_clear(&editor->changed);
    lock_clear(&editor->lock);
    free(editor);
}

/* --- asking and reading */

void line_editor_ask(struct line_editor *editor, const char *prompt)
{
    enter(editor);
    editor->prompt = prompt;
    editor->asked = true;
    condition_signal(&editor->changed);
    leave(editor);
}

void line_editor_set_prompt(struct line_editor *editor, const char *prompt)
{
    enter(editor);
    if (editor->typing)
        wipe(editor);
    editor->prompt = prompt;
    if (editor->typing)
        redraw(editor);
    leave(editor);
}

void line_editor_stop(struct line_editor *editor)
{
    const uint64_t one = 1;

    enter(editor);
    editor->stopping = true;
    condition_signal(&editor->changed);
    leave(editor);
    (void)!write(editor->wake, &one, sizeof one);
}

/* With the lock: one line into editor->line. False: no more. */
static bool type_line(struct line_editor *editor)
{
    const char *text;
    size_t size;
    int count;

    descend(editor);
    follow_size(editor);
    /* libedit itself does it after it has shown the prompt: a Ctrl-C could come in between. */
    el_set(editor->el, EL_PREP_TERM, 1);
    text = el_gets(editor->el, &count);
    editor->column = 0;
    editor->below = false;
    if (!text || count <= 0) {
        if (!editor->stopping)
            fputc('\n', stdout);
        fflush(stdout);
        return false;
    }
    size = strcspn(text, "\r\n");
    if (size >= sizeof editor->line) {
        fprintf(stderr, "kdlens debug: the line is longer than %zu bytes; it was not run\n",
                sizeof editor->line - 1);
        size = 0;
    }
    memcpy(editor->line, text, size);
    editor->line[size] = '\0';
    return true;
}

const char *line_editor_read(struct line_editor *editor)
{
    HistEvent event;
    bool is_new, typed;

    enter(editor);
    while (!editor->asked && !editor->stopping)
        condition_wait(&editor->changed, &editor->lock, IDLE_PERIOD);
    typed = !editor->stopping && type_line(editor);
    editor->asked = false;
    is_new = typed && editor->line[strspn(editor->line, " \t")] &&
             history(editor->history, &event, H_ENTER, editor->line) > 0;
    leave(editor);
    if (is_new)
        line_history_add(editor->line);
    return typed ? editor->line : NULL;
}
