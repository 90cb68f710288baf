/* secret_linux.c - a secret from the controlling terminal. See secret.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Keys come one by one and unseen; Ctrl-C is one of them, so that it cannot end the program while
 * the terminal does not echo.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum key { KEY_CTRL_C = 3, KEY_CTRL_D = 4, KEY_BACKSPACE = 8, KEY_CTRL_U = 21, KEY_DELETE = 127 };

/* Keys up to a line end. */
static bool read_line(int terminal, char *out, size_t room, struct problem *problem)
{
    size_t size = 0;
    ssize_t got;
    char c = '\n';

    while ((got = read(terminal, &c, 1)) == 1 && c != '\n' && c != '\r' && c != KEY_CTRL_C &&
           c != KEY_CTRL_D) {
        if (c == KEY_BACKSPACE || c == KEY_DELETE)
            size -= size > 0;
        else if (c == KEY_CTRL_U)
            size = 0;
        else if (size + 1 < room)
            out[size++] = c;
    }
    out[size] = '\0';
    if (got < 0)
        problem_system(problem, (unsigned long)errno, "reading the terminal");
    else if (c == KEY_CTRL_C || size == 0)
        problem_set(problem, "no key was typed");
    return got >= 0 && c != KEY_CTRL_C && size > 0;
}

static bool ask(int terminal, const char *prompt, char *out, size_t room, struct problem *problem)
{
    struct termios normal, silent;
    bool fine = false;

    if (tcgetattr(terminal, &normal) != 0) {
        problem_system(problem, (unsigned long)errno, "the terminal");
        return false;
    }
    silent = normal;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    if (tcsetattr(terminal, TCSAFLUSH, &silent) != 0)
        problem_system(problem, (unsigned long)errno, "the terminal");
    else if (write(terminal, prompt, strlen(prompt)) >= 0)
        fine = read_line(terminal, out, room, problem);
    tcsetattr(terminal, TCSAFLUSH, &normal);
    if (write(terminal, "\n", 1) < 0)
        fine = false;
    return fine;
}

bool secret_ask(const char *prompt, char *out, size_t room, struct problem *problem)
{
    int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    bool fine;

    if (terminal < 0) {
        problem_set(problem, "there is no terminal to ask for the key: give --key-file FILE");
        return false;
    }
    fine = ask(terminal, prompt, out, room, problem);
    close(terminal);
    return fine;
}
