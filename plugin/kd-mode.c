/* kd-mode.c - the mode of the code a target stopped in. See kd-mode.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-mode.h"

#define EFLAGS_VM 0x20000

const value_string kd_mode_names[] = {
    {KD_MODE_UNKNOWN, "unknown"},
    {KD_MODE_64, "64-bit"},
    {KD_MODE_WOW64, "WoW64 (32-bit code on a 64-bit system)"},
    {KD_MODE_32, "32-bit"},
    {KD_MODE_VIRTUAL_8086, "virtual 8086"},
    {KD_MODE_REAL, "real mode"},
    {0, NULL},
};

static enum kd_mode mode_of_amd64(const struct kd_control_report_amd64 *report)
{
    if (!(kd_get16(report->report_flags) & KD_REPORT_SEGMENTS_VALID))
        return KD_MODE_UNKNOWN;
    switch (kd_get16(report->seg_cs) & ~3u) {
    case 0x20:
        return KD_MODE_WOW64;
    case 0:
        return KD_MODE_UNKNOWN;
    default:
        return KD_MODE_64; /* kernel 0x10, user 0x33, and whatever a boot loader or UEFI chose */
    }
}

static enum kd_mode mode_of_x86(const struct kd_control_report_x86 *report)
{
    if (kd_get32(report->eflags) & EFLAGS_VM)
        return KD_MODE_VIRTUAL_8086;
    if (!(kd_get16(report->report_flags) & KD_REPORT_SEGMENTS_VALID))
        return KD_MODE_UNKNOWN;
    return kd_get16(report->seg_cs) >= 0x100 ? KD_MODE_REAL : KD_MODE_32;
}

enum kd_mode kd_mode_of_report(enum kd_arch arch, const uint8_t *report, size_t size)
{
    if (size < sizeof(struct kd_control_report_amd64))
        return KD_MODE_UNKNOWN;
    switch (arch) {
    case KD_ARCH_AMD64:
        return mode_of_amd64((const struct kd_control_report_amd64 *)report);
    case KD_ARCH_X86:
        return mode_of_x86((const struct kd_control_report_x86 *)report);
    case KD_ARCH_ARM64:
        return KD_MODE_64;
    default:
        return KD_MODE_UNKNOWN;
    }
}
