/* compat.h - one face for the epan of Wireshark 4.0, 4.4 and 4.6.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_COMPAT_H
#define KDLENS_PLUGIN_COMPAT_H

#include <wireshark.h>
#include <ws_version.h>

#include <epan/packet.h>
#include <wiretap/wtap.h>

#define KDLENS_WIRESHARK(major, minor)    \
    (WIRESHARK_VERSION_MAJOR > (major) || \
     (WIRESHARK_VERSION_MAJOR == (major) && WIRESHARK_VERSION_MINOR >= (minor)))

/* Heuristic dissectors return gboolean (an int) in 4.0 and bool later; so do several callbacks. */
#if KDLENS_WIRESHARK(4, 4)
typedef bool kdlens_bool;
#else
typedef gboolean kdlens_bool;
#define tvb_get_uint8 tvb_get_guint8
#endif

/* Names of files are UTF-8; on Windows fopen takes them for something else. */
#ifdef _WIN32
#include <wsutil/file_util.h>
#define kdlens_fopen ws_fopen
#else
#define kdlens_fopen fopen
#endif

/* 4.6 asks for the owner of what it allocates; before that, and with NULL, it lives as long as the
 * program. */
static inline value_string_ext *kdlens_value_string_ext(const value_string *strings, unsigned count,
                                                        const char *name)
{
#if KDLENS_WIRESHARK(4, 6)
    return value_string_ext_new(NULL, strings, count, name);
#else
    return value_string_ext_new(strings, count, name);
#endif
}

#endif
