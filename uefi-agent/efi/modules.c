/* modules.c - the engine's loader list follows the firmware's images.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Loads are told as they happen (notification of the loaded-image protocol). The firmware does not
 * tell unloads: its debug image table is compared with ours at every load and before every stop,
 * which needs no boot services.
 */
#include "agent_state.h"
#include "pe.h"

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID debug_image_guid = EFI_DEBUG_IMAGE_INFO_TABLE_GUID;

static const char *last_part(const char *path)
{
    const char *last = path;

    for (; *path; path++) {
        if (*path == '\\' || *path == '/')
            last = path + 1;
    }
    return last;
}

static bool wanted(const struct agent_module *module)
{
    return module->base == (uint64_t)(uintptr_t)agent.loaded->ImageBase ||
           kda_options_wants(&agent.options, last_part(module->path));
}

/* With the engine in hand. What is no PE image is listed with the size the firmware says. */
static void tell(struct agent_module *module, uint64_t size, bool notify)
{
    struct kda_image image = {.path = module->path, .base = module->base};
    struct kda_pe headers;

    if (kda_pe_read(&agent.machine, module->base, &headers)) {
        image.entry = headers.entry;
        image.size = headers.size;
        image.checksum = headers.checksum;
        image.timestamp = headers.timestamp;
    } else {
        image.size = (uint32_t)size;
    }
    module->size = image.size;
    (void)kda_image_loaded(agent.engine, &image, notify);
}

static struct agent_module *find(uint64_t base)
{
    for (size_t i = 0; i < agent.module_count; i++) {
        if (agent.modules[i].base == base)
            return &agent.modules[i];
    }
    return NULL;
}

bool agent_modules_has(uint64_t base)
{
    return find(base) != NULL;
}

static void add(const struct agent_module *module, uint64_t size, bool notify)
{
    if (agent.module_count == KDA_MAX_IMAGES || find(module->base) || !wanted(module))
        return;
    agent.modules[agent.module_count] = *module;
    tell(&agent.modules[agent.module_count++], size, notify);
}

/* TableSize counts the images, not the places: EDK2 leaves holes where images were unloaded, and
 * others then lie behind TableSize. So the walk ends when as many have been seen. */
struct walk {
    size_t index, left;
};

#define TABLE_PLACES_MAX 4096u /* a walk over a broken table ends, too */

static struct walk walk_table(void)
{
    struct walk walk = {0, 0};

    if (agent.images && !(agent.images->UpdateStatus & EFI_DEBUG_IMAGE_INFO_UPDATE_IN_PROGRESS))
        walk.left = agent.images->TableSize;
    return walk;
}

static const EFI_LOADED_IMAGE_PROTOCOL *next_image(struct walk *walk)
{
    while (walk->left > 0 && walk->index < TABLE_PLACES_MAX) {
        const EFI_DEBUG_IMAGE_INFO_NORMAL *entry =
            agent.images->EfiDebugImageInfoTable[walk->index++];

        if (!entry)
            continue;
        walk->left--;
        if (entry->ImageInfoType == EFI_DEBUG_IMAGE_INFO_TYPE_NORMAL &&
            entry->LoadedImageProtocolInstance)
            return entry->LoadedImageProtocolInstance;
    }
    return NULL;
}

static bool in_table(uint64_t base)
{
    struct walk walk = walk_table();
    const EFI_LOADED_IMAGE_PROTOCOL *image;

    while ((image = next_image(&walk))) {
        if ((uint64_t)(uintptr_t)image->ImageBase == base)
            return true;
    }
    return false;
}

static void drop_unloaded(bool notify)
{
    for (size_t i = 0; i < agent.module_count;) {
        uint64_t base = agent.modules[i].base;

        if (in_table(base)) {
            i++;
            continue;
        }
        agent.modules[i] = agent.modules[--agent.module_count];
        kda_image_unloaded(agent.engine, base, notify);
    }
}

/* Before a stop: no boot services, nothing sent but the list itself. */
void agent_modules_sync(void)
{
    struct walk walk = walk_table();
    const EFI_LOADED_IMAGE_PROTOCOL *image;

    if (walk.left == 0)
        return;
    drop_unloaded(false);
    while ((image = next_image(&walk))) {
        struct agent_module module;

        if (find((uint64_t)(uintptr_t)image->ImageBase))
            continue;
        agent_name_image(image, false, &module);
        add(&module, image->ImageSize, false);
    }
}

/* A new engine begins with an empty list. */
void agent_modules_refill(void)
{
    for (size_t i = 0; i < agent.module_count; i++)
        tell(&agent.modules[i], agent.modules[i].size, false);
}

struct load {
    const EFI_LOADED_IMAGE_PROTOCOL *image;
    struct agent_module module;
};

static void do_load(struct kda_engine *engine, void *argument)
{
    const struct load *load = argument;

    (void)engine;
    if (walk_table().left > 0)
        drop_unloaded(true);
    add(&load->module, load->image->ImageSize, true);
}

static void load(const EFI_LOADED_IMAGE_PROTOCOL *image)
{
    struct load request = {.image = image};

    agent_name_image(image, true, &request.module);
    kda_agent_call(do_load, &request);
}

static void EFIAPI on_image(EFI_EVENT event, void *context)
{
    EFI_HANDLE handle;
    UINTN size = sizeof handle;
    EFI_LOADED_IMAGE_PROTOCOL *image;

    (void)event;
    (void)context;
    agent_read_ranges();
    /* Each call gives one handle that has come since. */
    while (!EFI_ERROR(agent.services->LocateHandle(ByRegisterNotify, NULL, agent.image_registration,
                                                   &size, &handle))) {
        if (!EFI_ERROR(
                agent.services->HandleProtocol(handle, &loaded_image_guid, (void **)&image)) &&
            image->ImageBase)
            load(image);
        size = sizeof handle;
    }
}

/* Before the agent runs, so without a call into the engine: whoever comes finds a whole list. The
 * agent is the first in it: WinDbg takes the first entry for the image at KernBase, and leaves that
 * image out where it comes later. */
void agent_modules_list(void)
{
    struct walk walk;
    struct agent_module module;
    const EFI_LOADED_IMAGE_PROTOCOL *image;

    agent.images = agent_configuration_table(&debug_image_guid);
    agent_name_image(agent.loaded, true, &module);
    add(&module, agent.loaded->ImageSize, false);
    walk = walk_table();
    while ((image = next_image(&walk))) {
        if (image == agent.loaded)
            continue;
        agent_name_image(image, true, &module);
        add(&module, image->ImageSize, false);
    }
}

static void do_announce(struct kda_engine *engine, void *argument)
{
    (void)argument;
    kda_announce(engine);
    tell(&agent.modules[0], agent.loaded->ImageSize, true);
}

void agent_modules_start(void)
{
    kda_agent_call(do_announce, NULL);
    if (EFI_ERROR(agent.services->CreateEvent(EVT_NOTIFY_SIGNAL, TPL_CALLBACK, on_image, NULL,
                                              &agent.image_event)))
        return;
    agent.services->RegisterProtocolNotify(&loaded_image_guid, agent.image_event,
                                           &agent.image_registration);
}

void agent_modules_stop(void)
{
    if (agent.image_event)
        agent.services->CloseEvent(agent.image_event);
    agent.image_event = NULL;
}
