/* options.h - what the run is told through QEMU's fw_cfg file opt/hvhost.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file is text: NAME or NAME=VALUE, separated by ':'. The table in options.c names them all,
 * README.md explains them.
 */
#ifndef HVHOST_OPTIONS_H
#define HVHOST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "faults.h"

struct log;

struct options {
    /* What the machine is. */
    uint32_t no_firmware; /* nobody owns SINT 2 when the client starts */
    uint32_t eoi;         /* says that AutoEOI is deprecated */
    uint32_t monitor;     /* offers have monitor ids */
    uint32_t net;         /* offers a network card */
    /* The bridge. */
    uint32_t framed;
    /* The run. */
    uint32_t selftest;  /* and nothing else */
    uint32_t no_client; /* goes back to the firmware at once */
    uint32_t stay;      /* goes back to the firmware when the client returns */
    uint32_t linger;    /* milliseconds between the client's end and power off */
    uint32_t verbose;
    struct faults faults;
};

/* What is unknown is reported as FAIL. False: something was. */
bool options_parse(struct options *options, struct log *log, const char *text);

/* Reads opt/hvhost: at most size - 1 bytes, ended by 0; an empty text when there is none. */
void options_read(char *text, uint32_t size);

#endif
