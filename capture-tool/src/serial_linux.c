/* serial_linux.c - a serial line's settings, at any speed.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A file of its own because the kernel's termios2, which takes any number as speed, cannot be
 * included together with <termios.h>.
 */
#include "channel_linux.h"

#include <asm/termbits.h>
#include <sys/ioctl.h>

bool serial_set(int fd, uint32_t baud)
{
    struct termios2 settings;

    if (ioctl(fd, TCGETS2, &settings) < 0)
        return false;
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    settings.c_cflag = CS8 | CREAD | CLOCAL | BOTHER | BOTHER << IBSHIFT;
    settings.c_ispeed = baud;
    settings.c_ospeed = baud;
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    return ioctl(fd, TCSETS2, &settings) == 0;
}
