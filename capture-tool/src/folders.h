/* folders.h - files put into folders and taken out again, for kdlens install.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * folders_linux.c and folders_windows.c implement it. Paths are UTF-8. What is put there is
 * complete or not there: a program that runs or a plugin that is loaded keeps the file it has
 * opened.
 */
#ifndef KDLENS_FOLDERS_H
#define KDLENS_FOLDERS_H

#include <stdbool.h>

#include "problem.h"

/* Something of this name is there, also a link that leads nowhere. */
bool folders_have(const char *path);

/* Whether a file can be put into the folder, which need not be there yet. */
bool folders_can_write(const char *folder);

/* Whether this program has a whole system's rights: root; not asked on Windows. */
bool folders_are_roots(void);

/* The folder and those above it. shared: all users may look into what is made. */
bool folders_make(const char *folder, bool shared, struct problem *problem);

/* A copy that everybody can read, and run when it is a program. */
bool folders_copy(const char *from, const char *to, bool program, struct problem *problem);

/* A link; a copy on Windows, where links need rights of their own. */
bool folders_link(const char *from, const char *to, struct problem *problem);

/* Whether `to` is what folders_copy or folders_link would make of `from`. */
bool folders_copied(const char *from, const char *to);
bool folders_linked(const char *from, const char *to);

bool folders_remove(const char *path, struct problem *problem);

/* Removes the folder when it is empty, then the ones above it, up to the one of this name
 * (letters' case does not matter); nothing when there is none of this name. */
void folders_prune(const char *folder, const char *last);

#endif
