/* pe.c - the headers of a PE32+ image in memory, and the name in its debug directory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Offsets as in Microsoft's PE format specification.
 */
#include "pe.h"

#include "kd/wire.h"

#define PE_MZ             0x5A4Du
#define PE_SIGNATURE      0x4550u
#define PE_PLUS           0x20Bu
#define PE_TO_HEADERS     0x3Cu
#define PE_HEADERS_LIMIT  0x10000u /* further away the headers are those of no image */
#define PE_TIMESTAMP      8u
#define PE_OPTIONAL       24u
#define PE_ENTRY          (PE_OPTIONAL + 16u)
#define PE_IMAGE_SIZE     (PE_OPTIONAL + 56u)
#define PE_CHECKSUM       (PE_OPTIONAL + 64u)
#define PE_DIRECTORIES    (PE_OPTIONAL + 108u)
#define PE_DEBUG          (PE_OPTIONAL + 112u + 6u * 8u)
#define PE_DEBUG_INDEX    6u
#define DEBUG_ENTRY       28u
#define DEBUG_ENTRIES_MAX 16u
#define DEBUG_TYPE        12u
#define DEBUG_SIZE        16u
#define DEBUG_ADDRESS     20u
#define DEBUG_CODEVIEW    2u
#define RSDS              0x53445352u
#define RSDS_NAME         24u

static bool get(const struct kda_target *target, uint64_t address, void *out, size_t size)
{
    return target->ops->read_virtual(target->self, address, out, size) == size;
}

static uint32_t get32(const struct kda_target *target, uint64_t address)
{
    kd_u32 value;

    return get(target, address, &value, sizeof value) ? kd_get32(value) : 0;
}

static uint16_t get16(const struct kda_target *target, uint64_t address)
{
    kd_u16 value;

    return get(target, address, &value, sizeof value) ? kd_get16(value) : 0;
}

/* What follows the last separator, up to the last dot. */
static void base_name(char *text)
{
    size_t start = 0, end = 0, size = 0;

    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '\\' || text[i] == '/') {
            start = i + 1;
            end = 0;
        } else if (text[i] == '.') {
            end = i;
        }
        size = i + 1;
    }
    if (end <= start)
        end = size;
    for (size_t i = start; i < end; i++)
        text[i - start] = text[i];
    text[end - start] = '\0';
}

/* The path may be longer than the room: then its end is what is wanted. */
static void read_pdb_name(const struct kda_target *target, uint64_t record, uint32_t size,
                          struct kda_pe *out)
{
    uint32_t length = size - RSDS_NAME;
    uint32_t skip = length < sizeof out->pdb ? 0 : length - ((uint32_t)sizeof out->pdb - 1);

    length -= skip;
    if (!get(target, record + RSDS_NAME + skip, out->pdb, length))
        length = 0;
    out->pdb[length] = '\0';
    base_name(out->pdb);
}

static void read_debug_directory(const struct kda_target *target, uint64_t base, uint64_t headers,
                                 struct kda_pe *out)
{
    uint32_t address = get32(target, headers + PE_DEBUG);
    uint32_t entries = get32(target, headers + PE_DEBUG + 4) / DEBUG_ENTRY;

    if (get32(target, headers + PE_DIRECTORIES) <= PE_DEBUG_INDEX || address >= out->size)
        return;
    for (uint32_t i = 0; i < entries && i < DEBUG_ENTRIES_MAX; i++) {
        uint64_t entry = base + address + i * DEBUG_ENTRY;
        uint32_t size = get32(target, entry + DEBUG_SIZE);
        uint32_t record = get32(target, entry + DEBUG_ADDRESS);

        if (get32(target, entry + DEBUG_TYPE) == DEBUG_CODEVIEW && size > RSDS_NAME &&
            record < out->size && size <= out->size - record &&
            get32(target, base + record) == RSDS) {
            read_pdb_name(target, base + record, size, out);
            return;
        }
    }
}

bool kda_pe_read(const struct kda_target *target, uint64_t base, struct kda_pe *out)
{
    uint32_t offset = get32(target, base + PE_TO_HEADERS);
    uint64_t headers = base + offset;

    *out = (struct kda_pe){.size = 0};
    if (get16(target, base) != PE_MZ || offset > PE_HEADERS_LIMIT ||
        get32(target, headers) != PE_SIGNATURE || get16(target, headers + PE_OPTIONAL) != PE_PLUS)
        return false;
    out->timestamp = get32(target, headers + PE_TIMESTAMP);
    out->entry = base + get32(target, headers + PE_ENTRY);
    out->size = get32(target, headers + PE_IMAGE_SIZE);
    out->checksum = get32(target, headers + PE_CHECKSUM);
    read_debug_directory(target, base, headers, out);
    return true;
}
