/* start.c - the example's entry: firmware's side of a C# program.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The word "fault" in the load options makes the program fault.
 */
#include "efi.h"
#include "rt/aot.h"

#define HEAP_SIZE (1u << 20)

extern const char __ImageBase[];

int ManagedMain(int fault);
void HostPrint(const CHAR16 *text);
void HostFail(int reason);

/* What managed code puts behind its buffers on the stack; with C++ in the program it has one. */
__attribute__((weak)) uint64_t __security_cookie = UINT64_C(0x2b992ddfa232);

static EFI_SYSTEM_TABLE *system_table;
static uint64_t heap[HEAP_SIZE / sizeof(uint64_t)];

void HostPrint(const CHAR16 *text)
{
    /* The prototype has no const; nothing is written. */
    system_table->ConOut->OutputString(system_table->ConOut, (CHAR16 *)(uintptr_t)text);
}

static void print(const char *text)
{
    CHAR16 letter[2] = {0};

    while (*text) {
        letter[0] = (CHAR16)(unsigned char)*text++;
        HostPrint(letter);
    }
}

static void stop(const char *why)
{
    print(why);
    print("\r\n");
    for (;;)
        __asm__ volatile("int3");
}

/* A check in managed code failed; Core.cs has the numbers. */
void HostFail(int reason)
{
    (void)reason;
    stop("a check in managed code failed");
}

static void fail(const struct rt_aot_problem *problem)
{
    stop(rt_aot_text(problem->failure));
}

/* Is "fault" anywhere in these? */
static bool wants_fault(const EFI_LOADED_IMAGE_PROTOCOL *image)
{
    const CHAR16 *options = image->LoadOptions;
    static const char word[] = "fault";
    size_t count = options ? image->LoadOptionsSize / sizeof *options : 0;

    for (size_t i = 0; i + sizeof word - 1 <= count; i++) {
        size_t same = 0;

        while (word[same] && options[i + same] == (CHAR16)word[same])
            same++;
        if (!word[same])
            return true;
    }
    return false;
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE handle, EFI_SYSTEM_TABLE *table);

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE handle, EFI_SYSTEM_TABLE *table)
{
    EFI_GUID loaded_image = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    void *image = NULL;
    struct rt_aot_result result;
    struct rt_aot_config config = {
        .image = __ImageBase,
        .heap = heap,
        .heap_size = sizeof heap,
        .fail = fail,
        .header = rt_aot_header(),
    };

    system_table = table;
    if (EFI_ERROR(table->BootServices->HandleProtocol(handle, &loaded_image, &image)))
        return EFI_UNSUPPORTED;
    if (!rt_aot_start(&config, &result)) {
        print("The managed runtime cannot start: ");
        print(result.step);
        print("\r\n");
        return EFI_LOAD_ERROR;
    }
    ManagedMain(wants_fault(image));
    return EFI_SUCCESS;
}
