/* console.c - the firmware's console: off our UART, and what the agent says on it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Firmware puts its console on every UART it finds: its text would be noise on our line, and it
 * would take the debugger's bytes for keys. An exclusive open of the serial protocol makes the
 * firmware take its drivers off the port, and keeps them from coming back (UEFI 2.10, 7.3.9).
 */
#include "agent_state.h"

static const EFI_GUID serial_io_guid = EFI_SERIAL_IO_PROTOCOL_GUID;
static const EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

#define NODES_MAX 64u

static size_t node_size(const EFI_DEVICE_PATH_PROTOCOL *node)
{
    return (size_t)node->Length[0] | (size_t)node->Length[1] << 8;
}

/* COM1 to COM4, as firmware numbers them. */
static bool is_our_port(const ACPI_HID_DEVICE_PATH *node)
{
    static const uint16_t bases[] = {0x3F8, 0x2F8, 0x3E8, 0x2E8};

    return agent.options.port == KDA_PORT_IO && node->HID == EISA_PNP0501 &&
           node->UID < sizeof bases / sizeof bases[0] && bases[node->UID] == agent.options.io_base;
}

static bool is_our_function(const PCI_DEVICE_PATH *node)
{
    return agent.line.on_pci && node->Device == agent.line.pci.where.device &&
           node->Function == agent.line.pci.where.function;
}

static bool leads_to_our_uart(const EFI_DEVICE_PATH_PROTOCOL *node)
{
    for (unsigned i = 0; i < NODES_MAX && node->Type != END_DEVICE_PATH_TYPE; i++) {
        size_t size = node_size(node);

        if (size < sizeof *node)
            return false;
        if (node->Type == ACPI_DEVICE_PATH && node->SubType == ACPI_DP &&
            size >= sizeof(ACPI_HID_DEVICE_PATH) && is_our_port((const void *)node))
            return true;
        if (node->Type == HARDWARE_DEVICE_PATH && node->SubType == HW_PCI_DP &&
            size >= sizeof(PCI_DEVICE_PATH) && is_our_function((const void *)node))
            return true;
        node = (const EFI_DEVICE_PATH_PROTOCOL *)((const uint8_t *)node + size);
    }
    return false;
}

static void take(EFI_HANDLE handle)
{
    void *serial;

    if (agent.console.count == AGENT_CONSOLE_MAX)
        return;
    if (EFI_ERROR(agent.services->OpenProtocol(
            handle, &serial_io_guid, &serial, agent.image, handle,
            EFI_OPEN_PROTOCOL_BY_DRIVER | EFI_OPEN_PROTOCOL_EXCLUSIVE)))
        return;
    agent.console.handles[agent.console.count++] = handle;
}

static size_t take_matching(const EFI_HANDLE *handles, size_t count, bool all)
{
    size_t before = agent.console.count;

    for (size_t i = 0; i < count; i++) {
        void *path = NULL;

        if (all ||
            (!EFI_ERROR(agent.services->HandleProtocol(handles[i], &device_path_guid, &path)) &&
             leads_to_our_uart(path)))
            take(handles[i]);
    }
    return agent.console.count - before;
}

/* A port that no path tells apart may be any of them: then all are taken. */
void agent_console_take(void)
{
    EFI_HANDLE *handles = NULL;
    UINTN count = 0;

    if (EFI_ERROR(agent.services->LocateHandleBuffer(ByProtocol, &serial_io_guid, NULL, &count,
                                                     &handles)))
        return;
    if (take_matching(handles, count, false) == 0)
        take_matching(handles, count, true);
    agent.services->FreePool(handles);
}

void agent_console_give_back(void)
{
    for (size_t i = 0; i < agent.console.count; i++) {
        EFI_HANDLE handle = agent.console.handles[i];

        agent.services->CloseProtocol(handle, &serial_io_guid, agent.image, handle);
        agent.services->ConnectController(handle, NULL, NULL, true);
    }
    agent.console.count = 0;
}

/* ASCII, a line. */
void agent_say(const char *text)
{
    CHAR16 line[256];
    size_t size = 0;

    if (agent.options.quiet || !agent.system->ConOut)
        return;
    while (text[size] && size < sizeof line / sizeof line[0] - 3) {
        line[size] = (CHAR16)(unsigned char)text[size];
        size++;
    }
    line[size++] = '\r';
    line[size++] = '\n';
    line[size] = 0;
    agent.system->ConOut->OutputString(agent.system->ConOut, line);
}
