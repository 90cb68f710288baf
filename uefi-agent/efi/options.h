/* options.h - the agent's settings: their text form, as load options or a configuration file.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: text in, struct out. Settings are NAME=VALUE; names and words are not case-sensitive.
 *   load options   settings with blanks between them; a value with blanks stands in "". A first
 *                  word without "=" is the image's own name (the shell puts it there) and skipped.
 *   file           a setting per line, blanks around "=" allowed, the value goes up to the line's
 *                  end; lines that begin with # or ; are comments. UTF-8 or UTF-16 with a byte
 *                  order mark.
 * A wrong setting leaves that setting as it was, and the rest counts: an agent that does not start
 * helps nobody.
 */
#ifndef KDA_OPTIONS_H
#define KDA_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/pipe_link.h"

enum kda_transport_choice {
    KDA_TRANSPORT_AUTO, /* VMBus when the host offers it, else the UART */
    KDA_TRANSPORT_UART,
    KDA_TRANSPORT_VMBUS,
};

enum kda_port_kind {
    KDA_PORT_IO,  /* a 16550 at an I/O address */
    KDA_PORT_PCI, /* a 16550 behind a PCI function */
};

#define KDA_WAIT_FOREVER    UINT32_MAX
#define KDA_OPTION_TEXT_MAX 256u

struct kda_options {
    enum kda_transport_choice transport;
    uint8_t interface[16]; /* type of the VMBus channel, a GUID as it lies on the wire */
    enum kd_pipe_framing framing;
    uint32_t trace_kib; /* of memory for a trace of VMBus; 0: none */
    enum kda_port_kind port;
    uint16_t io_base; /* KDA_PORT_IO */
    bool pci_any;     /* KDA_PORT_PCI: the first serial controller found, else this one: */
    uint8_t pci_bus, pci_device, pci_function;
    uint32_t baud;

    uint16_t major; /* enum kda_identity of engine.h */
    uint16_t minor; /* build number shown to the debugger */

    bool break_at_start; /* stop before anything else runs */
    uint32_t wait_s; /* seconds a stop waits for a debugger that never answered; 0: not at all */
    uint32_t message_ms; /* how long a print waits for a debugger that never answered */
    uint32_t max_read;   /* payload bytes of one memory reply; 0: the protocol's maximum */
    uint16_t hotkey;     /* UEFI's scan code of the key that stops the program; 0: none */
    bool quiet;          /* nothing on the firmware's console */
    bool stack;          /* a fault is shown with its call stack */

    /* Images reported to the debugger: patterns with * and ?, separated by commas, compared with
     * the base name; "*" all, "" none. The agent itself is always reported. */
    char modules[KDA_OPTION_TEXT_MAX];
    char chain[KDA_OPTION_TEXT_MAX]; /* image to start next, on the same file system; "": none */
    char arguments[KDA_OPTION_TEXT_MAX]; /* its load options; "": none */

    unsigned errors; /* wrong settings met so far */
    char error[256]; /* the first of them: where, what, and what is possible */
};

void kda_options_default(struct kda_options *options);

/* Both add to what is set already; false: a setting was wrong (options->error). Text ends at size
 * or at the first NUL. What is not text (some firmware hands over binary data) is refused whole. */
bool kda_options_load(struct kda_options *options, const uint16_t *text, size_t units);
bool kda_options_file(struct kda_options *options, const char *name, const uint8_t *bytes,
                      size_t size);

/* Whether an image of this base name is to be reported. */
bool kda_options_wants(const struct kda_options *options, const char *base_name);

#endif
