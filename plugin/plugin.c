/* plugin.c - what Wireshark calls when it loads kdlens.so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * WS_BUILD_DLL is defined for this file alone: it exports the symbols of the plugin interface,
 * while all others import epan's data.
 */
#define WS_BUILD_DLL
#include <wireshark.h>
#include <ws_version.h>

#include <epan/packet.h>
#include <stdio.h>

#include "packet-kd.h"
#include "packet-kdnet.h"
#include "packet-vmbus.h"
#include "registry.h"

WS_DLL_PUBLIC_DEF const char plugin_version[] = VERSION;
WS_DLL_PUBLIC_DEF const int plugin_want_major = WIRESHARK_VERSION_MAJOR;
WS_DLL_PUBLIC_DEF const int plugin_want_minor = WIRESHARK_VERSION_MINOR;

WS_DLL_PUBLIC void plugin_register(void);
WS_DLL_PUBLIC uint32_t plugin_describe(void);

#define DESCRIBES_DISSECTOR (1u << 0)

static bool registered;

/* Two protocols of one name make Wireshark abort; a second plugin of ours, or another tool's, may
 * be there. */
static bool name_is_free(const char *name)
{
    if (proto_get_id_by_filter_name(name) < 0)
        return true;
    fprintf(stderr,
            "kdlens: the protocol \"%s\" is registered already, so this copy of kdlens stays out. "
            "Remove the other "
            "plugin or Lua script (Help > About Wireshark > Plugins lists them).\n",
            name);
    return false;
}

static void register_protocols(void)
{
    registered = name_is_free("kd") && name_is_free("kdnet") && name_is_free("vmbus");
    if (!registered)
        return;
    proto_register_kd();
    proto_register_kdnet();
    proto_register_vmbus();
    kd_registry_register(&(struct kd_registry_protocols){
        .kd = proto_get_id_by_filter_name("kd"),
        .kdnet = proto_get_id_by_filter_name("kdnet"),
        .vmbus = proto_get_id_by_filter_name("vmbus"),
    });
}

static void hand_off(void)
{
    if (!registered)
        return;
    proto_reg_handoff_kd();
    proto_reg_handoff_kdnet();
}

uint32_t plugin_describe(void)
{
    return DESCRIBES_DISSECTOR;
}

void plugin_register(void)
{
    static proto_plugin plugin = {register_protocols, hand_off};

    proto_register_plugin(&plugin);
}
