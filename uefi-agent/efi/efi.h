/* efi.h - the part of the UEFI and PI specifications that the agent uses, on x86-64.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Written from the UEFI 2.10 and PI 1.8 specifications, in their names. Members that nothing here
 * calls are void pointers. The asserts at the end hold the offsets that the specification's order
 * of members gives.
 */
#ifndef KDA_EFI_H
#define KDA_EFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* For this target the compiler's own convention; named so that host tests can use the header. */
#define EFIAPI __attribute__((ms_abi))

typedef uint64_t EFI_STATUS;
typedef void *EFI_HANDLE;
typedef void *EFI_EVENT;
typedef uint16_t CHAR16;
typedef uint64_t UINTN;
typedef uint64_t UINT64;
typedef uint8_t BOOLEAN;
typedef UINTN EFI_TPL;

#define EFI_ERROR_BIT         UINT64_C(0x8000000000000000)
#define EFI_ERROR(status)     (((status)&EFI_ERROR_BIT) != 0)
#define EFI_SUCCESS           UINT64_C(0)
#define EFI_LOAD_ERROR        (EFI_ERROR_BIT | 1)
#define EFI_INVALID_PARAMETER (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED       (EFI_ERROR_BIT | 3)
#define EFI_BUFFER_TOO_SMALL  (EFI_ERROR_BIT | 5)
#define EFI_NOT_READY         (EFI_ERROR_BIT | 6)
#define EFI_DEVICE_ERROR      (EFI_ERROR_BIT | 7)
#define EFI_OUT_OF_RESOURCES  (EFI_ERROR_BIT | 9)
#define EFI_NOT_FOUND         (EFI_ERROR_BIT | 14)
#define EFI_ACCESS_DENIED     (EFI_ERROR_BIT | 15)
#define EFI_NO_RESPONSE       (EFI_ERROR_BIT | 16)
#define EFI_TIMEOUT           (EFI_ERROR_BIT | 18)
#define EFI_ALREADY_STARTED   (EFI_ERROR_BIT | 20)
#define EFI_ABORTED           (EFI_ERROR_BIT | 21)

#define TPL_APPLICATION 4
#define TPL_CALLBACK    8
#define TPL_NOTIFY      16
#define TPL_HIGH_LEVEL  31

typedef struct {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} EFI_GUID;

typedef struct {
    uint64_t Signature;
    uint32_t Revision;
    uint32_t HeaderSize;
    uint32_t CRC32;
    uint32_t Reserved;
} EFI_TABLE_HEADER;

typedef struct {
    uint8_t Type;
    uint8_t SubType;
    uint8_t Length[2];
} EFI_DEVICE_PATH_PROTOCOL;

enum {
    HARDWARE_DEVICE_PATH = 1,
    HW_PCI_DP = 1,
    ACPI_DEVICE_PATH = 2,
    ACPI_DP = 1,
    MEDIA_DEVICE_PATH = 4,
    MEDIA_FILEPATH_DP = 4,
    MEDIA_PIWG_FW_FILE_DP = 6,
    END_DEVICE_PATH_TYPE = 0x7F,
    END_ENTIRE_DEVICE_PATH_SUBTYPE = 0xFF,
};

typedef struct {
    EFI_DEVICE_PATH_PROTOCOL Header;
    uint8_t Function;
    uint8_t Device;
} PCI_DEVICE_PATH;

typedef struct {
    EFI_DEVICE_PATH_PROTOCOL Header;
    uint32_t HID;
    uint32_t UID;
} ACPI_HID_DEVICE_PATH;

/* EISA id of a 16550-compatible port, PNP0501. */
#define EISA_PNP0501 UINT32_C(0x050141D0)

typedef struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL {
    void *Reset;
    EFI_STATUS(EFIAPI *OutputString)
    (struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *This, const CHAR16 *String);
} EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL;

typedef struct {
    uint16_t ScanCode;
    CHAR16 UnicodeChar;
} EFI_INPUT_KEY;

/* Shift and toggle state 0: whatever they are. */
typedef struct {
    EFI_INPUT_KEY Key;
    uint32_t KeyShiftState;
    uint8_t KeyToggleState;
} EFI_KEY_DATA;

typedef struct EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL {
    void *Reset;
    void *ReadKeyStrokeEx;
    EFI_EVENT WaitForKeyEx;
    void *SetState;
    EFI_STATUS(EFIAPI *RegisterKeyNotify)
    (struct EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *This, EFI_KEY_DATA *KeyData,
     EFI_STATUS(EFIAPI *KeyNotificationFunction)(EFI_KEY_DATA *KeyData), void **NotifyHandle);
    EFI_STATUS(EFIAPI *UnregisterKeyNotify)
    (struct EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *This, void *NotificationHandle);
} EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL;

typedef void(EFIAPI *EFI_EVENT_NOTIFY)(EFI_EVENT Event, void *Context);

#define EVT_TIMER                         UINT32_C(0x80000000)
#define EVT_NOTIFY_SIGNAL                 UINT32_C(0x00000200)
#define EVT_SIGNAL_EXIT_BOOT_SERVICES     UINT32_C(0x00000201)
#define EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE UINT32_C(0x60000202)

typedef enum { TimerCancel, TimerPeriodic, TimerRelative } EFI_TIMER_DELAY;
typedef enum { AllHandles, ByRegisterNotify, ByProtocol } EFI_LOCATE_SEARCH_TYPE;
typedef enum { EFI_NATIVE_INTERFACE } EFI_INTERFACE_TYPE;
typedef enum { AllocateAnyPages, AllocateMaxAddress, AllocateAddress } EFI_ALLOCATE_TYPE;
typedef enum {
    EfiReservedMemoryType,
    EfiLoaderCode,
    EfiLoaderData,
    EfiBootServicesCode,
    EfiBootServicesData,
    EfiRuntimeServicesCode,
    EfiRuntimeServicesData,
} EFI_MEMORY_TYPE;

#define EFI_OPEN_PROTOCOL_BY_HANDLE_PROTOCOL UINT32_C(0x01)
#define EFI_OPEN_PROTOCOL_GET_PROTOCOL       UINT32_C(0x02)
#define EFI_OPEN_PROTOCOL_BY_DRIVER          UINT32_C(0x10)
#define EFI_OPEN_PROTOCOL_EXCLUSIVE          UINT32_C(0x20)

typedef struct {
    EFI_TABLE_HEADER Hdr;
    EFI_TPL(EFIAPI *RaiseTPL)(EFI_TPL NewTpl);
    void(EFIAPI *RestoreTPL)(EFI_TPL OldTpl);
    EFI_STATUS(EFIAPI *AllocatePages)
    (EFI_ALLOCATE_TYPE Type, EFI_MEMORY_TYPE MemoryType, UINTN Pages, uint64_t *Memory);
    EFI_STATUS(EFIAPI *FreePages)(uint64_t Memory, UINTN Pages);
    EFI_STATUS(EFIAPI *GetMemoryMap)
    (UINTN *MemoryMapSize, void *MemoryMap, UINTN *MapKey, UINTN *DescriptorSize,
     uint32_t *DescriptorVersion);
    EFI_STATUS(EFIAPI *AllocatePool)(EFI_MEMORY_TYPE PoolType, UINTN Size, void **Buffer);
    EFI_STATUS(EFIAPI *FreePool)(void *Buffer);
    EFI_STATUS(EFIAPI *CreateEvent)
    (uint32_t Type, EFI_TPL NotifyTpl, EFI_EVENT_NOTIFY NotifyFunction, void *NotifyContext,
     EFI_EVENT *Event);
    EFI_STATUS(EFIAPI *SetTimer)(EFI_EVENT Event, EFI_TIMER_DELAY Type, uint64_t TriggerTime);
    void *WaitForEvent;
    EFI_STATUS(EFIAPI *SignalEvent)(EFI_EVENT Event);
    EFI_STATUS(EFIAPI *CloseEvent)(EFI_EVENT Event);
    void *CheckEvent;
    EFI_STATUS(EFIAPI *InstallProtocolInterface)
    (EFI_HANDLE *Handle, const EFI_GUID *Protocol, EFI_INTERFACE_TYPE InterfaceType,
     void *Interface);
    void *ReinstallProtocolInterface;
    EFI_STATUS(EFIAPI *UninstallProtocolInterface)
    (EFI_HANDLE Handle, const EFI_GUID *Protocol, void *Interface);
    EFI_STATUS(EFIAPI *HandleProtocol)
    (EFI_HANDLE Handle, const EFI_GUID *Protocol, void **Interface);
    void *Reserved;
    EFI_STATUS(EFIAPI *RegisterProtocolNotify)
    (const EFI_GUID *Protocol, EFI_EVENT Event, void **Registration);
    EFI_STATUS(EFIAPI *LocateHandle)
    (EFI_LOCATE_SEARCH_TYPE SearchType, const EFI_GUID *Protocol, void *SearchKey,
     UINTN *BufferSize, EFI_HANDLE *Buffer);
    void *LocateDevicePath;
    void *InstallConfigurationTable;
    EFI_STATUS(EFIAPI *LoadImage)
    (BOOLEAN BootPolicy, EFI_HANDLE ParentImageHandle, const EFI_DEVICE_PATH_PROTOCOL *DevicePath,
     void *SourceBuffer, UINTN SourceSize, EFI_HANDLE *ImageHandle);
    EFI_STATUS(EFIAPI *StartImage)
    (EFI_HANDLE ImageHandle, UINTN *ExitDataSize, CHAR16 **ExitData);
    void *Exit;
    EFI_STATUS(EFIAPI *UnloadImage)(EFI_HANDLE ImageHandle);
    EFI_STATUS(EFIAPI *ExitBootServices)(EFI_HANDLE ImageHandle, UINTN MapKey);
    void *GetNextMonotonicCount;
    EFI_STATUS(EFIAPI *Stall)(UINTN Microseconds);
    EFI_STATUS(EFIAPI *SetWatchdogTimer)
    (UINTN Timeout, uint64_t WatchdogCode, UINTN DataSize, const CHAR16 *WatchdogData);
    EFI_STATUS(EFIAPI *ConnectController)
    (EFI_HANDLE ControllerHandle, EFI_HANDLE *DriverImageHandle,
     const EFI_DEVICE_PATH_PROTOCOL *RemainingDevicePath, BOOLEAN Recursive);
    EFI_STATUS(EFIAPI *DisconnectController)
    (EFI_HANDLE ControllerHandle, EFI_HANDLE DriverImageHandle, EFI_HANDLE ChildHandle);
    EFI_STATUS(EFIAPI *OpenProtocol)
    (EFI_HANDLE Handle, const EFI_GUID *Protocol, void **Interface, EFI_HANDLE AgentHandle,
     EFI_HANDLE ControllerHandle, uint32_t Attributes);
    EFI_STATUS(EFIAPI *CloseProtocol)
    (EFI_HANDLE Handle, const EFI_GUID *Protocol, EFI_HANDLE AgentHandle,
     EFI_HANDLE ControllerHandle);
    void *OpenProtocolInformation;
    void *ProtocolsPerHandle;
    EFI_STATUS(EFIAPI *LocateHandleBuffer)
    (EFI_LOCATE_SEARCH_TYPE SearchType, const EFI_GUID *Protocol, void *SearchKey, UINTN *NoHandles,
     EFI_HANDLE **Buffer);
    EFI_STATUS(EFIAPI *LocateProtocol)
    (const EFI_GUID *Protocol, void *Registration, void **Interface);
    void *InstallMultipleProtocolInterfaces;
    void *UninstallMultipleProtocolInterfaces;
    void *CalculateCrc32;
    void *CopyMem;
    void *SetMem;
    void *CreateEventEx;
} EFI_BOOT_SERVICES;

typedef enum { EfiResetCold, EfiResetWarm, EfiResetShutdown } EFI_RESET_TYPE;

typedef struct {
    EFI_TABLE_HEADER Hdr;
    void *GetTime;
    void *SetTime;
    void *GetWakeupTime;
    void *SetWakeupTime;
    void *SetVirtualAddressMap;
    void *ConvertPointer;
    void *GetVariable;
    void *GetNextVariableName;
    void *SetVariable;
    void *GetNextHighMonotonicCount;
    void(EFIAPI *ResetSystem)(EFI_RESET_TYPE ResetType, EFI_STATUS ResetStatus, UINTN DataSize,
                              void *ResetData);
} EFI_RUNTIME_SERVICES;

typedef struct {
    EFI_GUID VendorGuid;
    void *VendorTable;
} EFI_CONFIGURATION_TABLE;

typedef struct {
    EFI_TABLE_HEADER Hdr;
    CHAR16 *FirmwareVendor;
    uint32_t FirmwareRevision;
    EFI_HANDLE ConsoleInHandle;
    void *ConIn;
    EFI_HANDLE ConsoleOutHandle;
    EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *ConOut;
    EFI_HANDLE StandardErrorHandle;
    EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *StdErr;
    EFI_RUNTIME_SERVICES *RuntimeServices;
    EFI_BOOT_SERVICES *BootServices;
    UINTN NumberOfTableEntries;
    EFI_CONFIGURATION_TABLE *ConfigurationTable;
} EFI_SYSTEM_TABLE;

typedef EFI_STATUS(EFIAPI *EFI_IMAGE_UNLOAD)(EFI_HANDLE ImageHandle);

typedef struct {
    uint32_t Revision;
    EFI_HANDLE ParentHandle;
    EFI_SYSTEM_TABLE *SystemTable;
    EFI_HANDLE DeviceHandle;
    EFI_DEVICE_PATH_PROTOCOL *FilePath;
    void *Reserved;
    uint32_t LoadOptionsSize;
    void *LoadOptions;
    void *ImageBase;
    uint64_t ImageSize;
    EFI_MEMORY_TYPE ImageCodeType;
    EFI_MEMORY_TYPE ImageDataType;
    EFI_IMAGE_UNLOAD Unload;
} EFI_LOADED_IMAGE_PROTOCOL;

typedef struct EFI_FILE_PROTOCOL {
    uint64_t Revision;
    EFI_STATUS(EFIAPI *Open)
    (struct EFI_FILE_PROTOCOL *This, struct EFI_FILE_PROTOCOL **NewHandle, const CHAR16 *FileName,
     uint64_t OpenMode, uint64_t Attributes);
    EFI_STATUS(EFIAPI *Close)(struct EFI_FILE_PROTOCOL *This);
    EFI_STATUS(EFIAPI *Delete)(struct EFI_FILE_PROTOCOL *This);
    EFI_STATUS(EFIAPI *Read)(struct EFI_FILE_PROTOCOL *This, UINTN *BufferSize, void *Buffer);
    EFI_STATUS(EFIAPI *Write)(struct EFI_FILE_PROTOCOL *This, UINTN *BufferSize, void *Buffer);
    void *GetPosition;
    void *SetPosition;
    void *GetInfo;
    void *SetInfo;
    void *Flush;
} EFI_FILE_PROTOCOL;

#define EFI_FILE_MODE_READ   UINT64_C(1)
#define EFI_FILE_MODE_WRITE  UINT64_C(2)
#define EFI_FILE_MODE_CREATE UINT64_C(0x8000000000000000)

typedef struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL {
    uint64_t Revision;
    EFI_STATUS(EFIAPI *OpenVolume)
    (struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *This, EFI_FILE_PROTOCOL **Root);
} EFI_SIMPLE_FILE_SYSTEM_PROTOCOL;

/* PI: sections of a firmware volume's file. */
#define EFI_SECTION_USER_INTERFACE 0x15

typedef struct EFI_FIRMWARE_VOLUME2_PROTOCOL {
    void *GetVolumeAttributes;
    void *SetVolumeAttributes;
    void *ReadFile;
    EFI_STATUS(EFIAPI *ReadSection)
    (const struct EFI_FIRMWARE_VOLUME2_PROTOCOL *This, const EFI_GUID *NameGuid,
     uint8_t SectionType, UINTN SectionInstance, void **Buffer, UINTN *BufferSize,
     uint32_t *AuthenticationStatus);
} EFI_FIRMWARE_VOLUME2_PROTOCOL;

/* PI: the memory space map of the DXE services. */
typedef enum {
    EfiGcdMemoryTypeNonExistent,
    EfiGcdMemoryTypeReserved,
    EfiGcdMemoryTypeSystemMemory,
    EfiGcdMemoryTypeMemoryMappedIo,
} EFI_GCD_MEMORY_TYPE;

typedef struct {
    uint64_t BaseAddress;
    uint64_t Length;
    uint64_t Capabilities;
    uint64_t Attributes;
    EFI_GCD_MEMORY_TYPE GcdMemoryType;
    EFI_HANDLE ImageHandle;
    EFI_HANDLE DeviceHandle;
} EFI_GCD_MEMORY_SPACE_DESCRIPTOR;

typedef struct {
    EFI_TABLE_HEADER Hdr;
    void *AddMemorySpace;
    void *AllocateMemorySpace;
    void *FreeMemorySpace;
    void *RemoveMemorySpace;
    void *GetMemorySpaceDescriptor;
    void *SetMemorySpaceAttributes;
    EFI_STATUS(EFIAPI *GetMemorySpaceMap)
    (UINTN *NumberOfDescriptors, EFI_GCD_MEMORY_SPACE_DESCRIPTOR **MemorySpaceMap);
} EFI_DXE_SERVICES;

/* The table that debuggers find images by. */
typedef struct {
    uint32_t ImageInfoType;
    EFI_LOADED_IMAGE_PROTOCOL *LoadedImageProtocolInstance;
    EFI_HANDLE ImageHandle;
} EFI_DEBUG_IMAGE_INFO_NORMAL;

#define EFI_DEBUG_IMAGE_INFO_TYPE_NORMAL        1u
#define EFI_DEBUG_IMAGE_INFO_UPDATE_IN_PROGRESS 1u
#define EFI_DEBUG_IMAGE_INFO_TABLE_MODIFIED     2u

typedef struct {
    volatile uint32_t UpdateStatus;
    uint32_t TableSize;
    EFI_DEBUG_IMAGE_INFO_NORMAL **EfiDebugImageInfoTable;
} EFI_DEBUG_IMAGE_INFO_TABLE_HEADER;

/* clang-format off */
#define EFI_LOADED_IMAGE_PROTOCOL_GUID \
    {0x5B1B31A1, 0x9562, 0x11D2, {0x8E, 0x3F, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}}
#define EFI_DEVICE_PATH_PROTOCOL_GUID \
    {0x09576E91, 0x6D3F, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}}
#define EFI_SERIAL_IO_PROTOCOL_GUID \
    {0xBB25CF6F, 0xF1D4, 0x11D2, {0x9A, 0x0C, 0x00, 0x90, 0x27, 0x3F, 0xC1, 0xFD}}
#define EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID \
    {0xDD9E7534, 0x7762, 0x4698, {0x8C, 0x14, 0xF5, 0x85, 0x17, 0xA6, 0x25, 0xAA}}
#define EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID \
    {0x964E5B22, 0x6459, 0x11D2, {0x8E, 0x39, 0x00, 0xA0, 0xC9, 0x69, 0x72, 0x3B}}
#define EFI_FIRMWARE_VOLUME2_PROTOCOL_GUID \
    {0x220E73B6, 0x6BDB, 0x4413, {0x84, 0x05, 0xB9, 0x74, 0xB1, 0x08, 0x61, 0x9A}}
#define EFI_DEBUG_IMAGE_INFO_TABLE_GUID \
    {0x49152E77, 0x1ADA, 0x4764, {0xB7, 0xA2, 0x7A, 0xFE, 0xFE, 0xD9, 0x5E, 0x8B}}
#define EFI_ACPI_20_TABLE_GUID \
    {0x8868E871, 0xE4F1, 0x11D3, {0xBC, 0x22, 0x00, 0x80, 0xC7, 0x3C, 0x88, 0x81}}
#define EFI_DXE_SERVICES_TABLE_GUID \
    {0x05AD34BA, 0x6F02, 0x4214, {0x95, 0x2E, 0x4D, 0xA0, 0x39, 0x8E, 0x2B, 0xB9}}
/* clang-format on */

_Static_assert(sizeof(EFI_GUID) == 16, "GUID");
_Static_assert(sizeof(EFI_KEY_DATA) == 12, "key data");
_Static_assert(offsetof(EFI_SYSTEM_TABLE, ConOut) == 64, "ConOut");
_Static_assert(offsetof(EFI_SYSTEM_TABLE, BootServices) == 96, "BootServices");
_Static_assert(sizeof(EFI_SYSTEM_TABLE) == 120, "system table");
_Static_assert(offsetof(EFI_BOOT_SERVICES, AllocatePool) == 64, "AllocatePool");
_Static_assert(offsetof(EFI_BOOT_SERVICES, HandleProtocol) == 152, "HandleProtocol");
_Static_assert(offsetof(EFI_BOOT_SERVICES, StartImage) == 208, "StartImage");
_Static_assert(offsetof(EFI_BOOT_SERVICES, Stall) == 248, "Stall");
_Static_assert(offsetof(EFI_BOOT_SERVICES, LocateHandleBuffer) == 312, "LocateHandleBuffer");
_Static_assert(offsetof(EFI_RUNTIME_SERVICES, ResetSystem) == 104, "ResetSystem");
_Static_assert(offsetof(EFI_BOOT_SERVICES, GetMemoryMap) == 56, "GetMemoryMap");
_Static_assert(offsetof(EFI_BOOT_SERVICES, ExitBootServices) == 232, "ExitBootServices");
_Static_assert(sizeof(EFI_BOOT_SERVICES) == 376, "boot services");
_Static_assert(offsetof(EFI_LOADED_IMAGE_PROTOCOL, ImageBase) == 64, "ImageBase");
_Static_assert(sizeof(EFI_LOADED_IMAGE_PROTOCOL) == 96, "loaded image");
_Static_assert(offsetof(EFI_DXE_SERVICES, GetMemorySpaceMap) == 72, "GetMemorySpaceMap");
_Static_assert(sizeof(EFI_GCD_MEMORY_SPACE_DESCRIPTOR) == 56, "memory space descriptor");
_Static_assert(sizeof(EFI_DEBUG_IMAGE_INFO_TABLE_HEADER) == 16, "debug image info table");

#endif
