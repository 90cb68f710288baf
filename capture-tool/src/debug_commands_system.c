/* debug_commands_system.c - the commands for version, registers, modules, ports, MSRs and buses.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "debug_expression.h"
#include "debug_modules.h"
#include "debug_registers.h"
#include "debug_run.h"
#include "debug_symbols.h"
#include "debug_target.h"
#include "kd/describe.h"

static bool run_command_version(struct debug_console *console, const struct debug_command *command,
                                const char *arguments, struct problem *problem)
{
    const struct kd_get_version64 *fields = target_version_fields(console->session);
    const char *kind, *machine;
    unsigned major;

    (void)command;
    if (!take_end(arguments, problem) || !target_version(console->session, problem))
        return false;
    major = kd_get16(fields->major_version);
    kind = kd_value_name(KD_SET_ID_version_kind, major >> 8);
    machine = kd_value_name(KD_SET_ID_machine_type, kd_get16(fields->machine_type));
    output_say(console->out, "%s %u, %s (%04x), protocol %u\n", kind ? kind : "target",
               (unsigned)kd_get16(fields->minor_version), machine ? machine : "unknown machine",
               (unsigned)kd_get16(fields->machine_type),
               (unsigned)kd_get8(fields->protocol_version));
    output_say(console->out,
               "major %04x flags %04x secondary %u, KernBase %016" PRIx64
               " PsLoadedModuleList %016" PRIx64 " DebuggerDataList %016" PRIx64 "\n",
               major, (unsigned)kd_get16(fields->flags),
               (unsigned)kd_get8(fields->kd_secondary_version), kd_get64(fields->kern_base),
               kd_get64(fields->ps_loaded_module_list), kd_get64(fields->debugger_data_list));
    return true;
}

/* --- registers */

/* "rax" shows, "rax=EXPRESSION" sets. */
static bool one_register(struct debug_console *console, const char *arguments,
                         struct problem *problem)
{
    const char *sign = strchr(arguments, '=');
    char name[COMMAND_WORD];
    uint64_t value;
    int size = (int)strcspn(arguments, " =");

    snprintf(name, sizeof name, "%.*s", size, arguments);
    if (!sign) {
        if (!take_end(arguments + size, problem) ||
            !registers_get(console->session, name, &value, problem))
            return false;
        output_say(console->out, "%s=%016" PRIx64 "\n", name, value);
        return true;
    }
    return expression_value(console->session, sign + 1, &value, problem) &&
           registers_set(console->session, name, value, problem);
}

static bool run_command_registers(struct debug_console *console,
                                  const struct debug_command *command, const char *arguments,
                                  struct problem *problem)
{
    (void)command;
    if (*arguments == '@')
        arguments++;
    return *arguments ? one_register(console, arguments, problem)
                      : registers_print(console->session, problem);
}

static bool run_command_float(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    return take_end(arguments, problem) &&
           registers_print_float(console->session, command->number != 0, problem);
}

static bool run_command_special(struct debug_console *console, const struct debug_command *command,
                                const char *arguments, struct problem *problem)
{
    (void)command;
    return take_end(arguments, problem) && registers_print_special(console->session, problem);
}

/* --- modules */

static void say_module(struct debug_console *console, struct debug_module *module, bool long_form)
{
    modules_identify(console->session, module);
    output_say(console->out, "%016" PRIx64 " %016" PRIx64 "   %-20s %s\n", module->base,
               module->base + module->size, module->name, module->pdb[0] ? module->pdb : "");
    if (!long_form)
        return;
    output_say(console->out, "    path %s\n    size %08" PRIx32 " checksum %08" PRIx32 "\n",
               module->path, module->size, module->checksum);
    if (!module->pdb[0])
        return;
    output_say(console->out, "    pdb  ");
    for (unsigned i = 0; i < sizeof module->guid; i++) {
        static const unsigned char order[] = {3, 2, 1, 0, 5, 4, 7, 6};

        output_say(console->out, "%02X", module->guid[i < sizeof order ? order[i] : i]);
    }
    output_say(console->out, "%" PRIX32 "\n", module->age);
}

static bool run_command_modules(struct debug_console *console, const struct debug_command *command,
                                const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;
    const struct debug_module *only;
    char name[COMMAND_WORD] = "";
    bool listed = modules_list(session, problem);

    take_word(&arguments, name, sizeof name);
    if (!listed && session->module_count == 0)
        return false;
    if (!listed)
        output_say(console->out, "(from load events; the list in memory: %s)\n", problem->text);
    only = *name ? modules_named(session, name) : NULL;
    if (*name && !only) {
        problem_set(problem, "there is no module %s", name);
        return false;
    }
    output_say(console->out, "start            end                module name\n");
    for (size_t i = 0; i < session->module_count; i++)
        if (!only || only == &session->modules[i])
            say_module(console, &session->modules[i], command->number != 0);
    return take_end(arguments, problem);
}

static bool run_command_near(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;
    char where[160], symbol[400];
    uint64_t address;

    (void)command;
    if (!take_value(console, &arguments, &address, problem) || !take_end(arguments, problem))
        return false;
    if (!modules_at(session, address) && !modules_list(session, problem) &&
        session->module_count == 0)
        return false;
    run_name_address(session, address, where, sizeof where);
    if (symbols_name(session, address, symbol, sizeof symbol, problem))
        output_say(console->out, "%016" PRIx64 " %s %s\n", address, where, symbol);
    else
        output_say(console->out, "%016" PRIx64 " %s (%s)\n", address, where, problem->text);
    return true;
}

static bool run_command_evaluate(struct debug_console *console, const struct debug_command *command,
                                 const char *arguments, struct problem *problem)
{
    uint64_t value;

    (void)command;
    if (!expression_value(console->session, arguments, &value, problem))
        return false;
    output_say(console->out, "%016" PRIx64 " = %" PRId64 "\n", value, (int64_t)value);
    return true;
}

/* --- ports, MSRs, buses */

static bool run_command_in(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    uint64_t port;
    uint32_t value;

    if (!take_value(console, &arguments, &port, problem) || !take_end(arguments, problem) ||
        !target_read_port(console->session, port, command->number, &value, problem))
        return false;
    output_say(console->out, "%04" PRIx64 ": %0*" PRIx32 "\n", port, (int)command->number * 2,
               value);
    return true;
}

static bool run_command_out(struct debug_console *console, const struct debug_command *command,
                            const char *arguments, struct problem *problem)
{
    uint64_t port, value;

    if (!take_value(console, &arguments, &port, problem) ||
        !take_value(console, &arguments, &value, problem) || !take_end(arguments, problem))
        return false;
    if (value >> 8 * command->number) {
        problem_set(problem, "%" PRIx64 " is larger than the port", value);
        return false;
    }
    return target_write_port(console->session, port, command->number, (uint32_t)value, problem);
}

static bool take_msr(struct debug_console *console, const char **arguments, uint64_t *number,
                     struct problem *problem)
{
    if (!take_value(console, arguments, number, problem))
        return false;
    if (*number <= UINT32_MAX)
        return true;
    problem_set(problem, "an MSR's number has 32 bits");
    return false;
}

static bool run_command_rdmsr(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint64_t number, value;

    (void)command;
    if (!take_msr(console, &arguments, &number, problem) || !take_end(arguments, problem) ||
        !target_read_msr(console->session, (uint32_t)number, &value, problem))
        return false;
    output_say(console->out, "msr[%" PRIx64 "] = %016" PRIx64 "\n", number, value);
    return true;
}

static bool run_command_wrmsr(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint64_t number, value;

    (void)command;
    return take_msr(console, &arguments, &number, problem) &&
           take_value(console, &arguments, &value, problem) && take_end(arguments, problem) &&
           target_write_msr(console->session, (uint32_t)number, value, problem);
}

/* PCI configuration space: the slot number is device in bits 0 to 4, function in 5 to 7. */
static bool run_command_bus(struct debug_console *console, const struct debug_command *command,
                            const char *arguments, struct problem *problem)
{
    uint64_t bus, device, function, offset = 0, count = 64;
    uint8_t bytes[256];
    size_t size;

    (void)command;
    if (!take_value(console, &arguments, &bus, problem) ||
        !take_value(console, &arguments, &device, problem) ||
        !take_value(console, &arguments, &function, problem) ||
        !take_optional(console, &arguments, &offset, problem) ||
        !take_optional(console, &arguments, &count, problem) || !take_end(arguments, problem))
        return false;
    if (bus > 255 || device > 31 || function > 7 || offset > 4095 || count > sizeof bytes) {
        problem_set(problem, "BUS is up to ff, DEVICE to 1f, FUNCTION to 7, OFFSET to fff, COUNT "
                             "to 100");
        return false;
    }
    size = (size_t)count;
    if (!target_bus_data(console->session, KD_BUS_PCI_CONFIGURATION, (uint32_t)bus,
                         (uint32_t)(device | function << 5), (uint32_t)offset, bytes, &size,
                         problem))
        return false;
    for (size_t i = 0; i < size; i++)
        output_say(console->out, "%s%02x%s", i % 16 ? " " : "", bytes[i],
                   i % 16 == 15 || i + 1 == size ? "\n" : "");
    return true;
}

const struct debug_command commands_system[] = {
    {"version", "", "what the target is", NEEDS_STOP, 0, run_command_version},
    {"r", "[REGISTER[=VALUE]]", "show the registers, or one, or set it", NEEDS_STOP, 0,
     run_command_registers},
    {"rx", "", "show the XMM registers", NEEDS_STOP, 1, run_command_float},
    {"fp", "", "show the x87 registers", NEEDS_STOP, 0, run_command_float},
    {"rm", "", "show control and debug registers, descriptor tables", NEEDS_STOP, 0,
     run_command_special},
    {"lm", "[MODULE]", "list the modules, with the PDB each names", NEEDS_STOP, 0,
     run_command_modules},
    {"lmv", "[MODULE]", "the same, with path, size and PDB identity", NEEDS_STOP, 1,
     run_command_modules},
    {"ln", "ADDRESS", "the module and, with -y, the symbol at an address", NEEDS_STOP, 0,
     run_command_near},
    {"?", "EXPRESSION", "the value of an expression", NEEDS_NOTHING, 0, run_command_evaluate},
    {"rdmsr", "NUMBER", "read a model-specific register", NEEDS_STOP, 0, run_command_rdmsr},
    {"wrmsr", "NUMBER VALUE", "write one", NEEDS_STOP, 0, run_command_wrmsr},
    {"ib", "PORT", "read a port of 1 byte", NEEDS_STOP, 1, run_command_in},
    {"iw", "PORT", "read a port of 2 bytes", NEEDS_STOP, 2, run_command_in},
    {"id", "PORT", "read a port of 4 bytes", NEEDS_STOP, 4, run_command_in},
    {"ob", "PORT VALUE", "write a port of 1 byte", NEEDS_STOP, 1, run_command_out},
    {"ow", "PORT VALUE", "write a port of 2 bytes", NEEDS_STOP, 2, run_command_out},
    {"od", "PORT VALUE", "write a port of 4 bytes", NEEDS_STOP, 4, run_command_out},
    {"busdata", "BUS DEVICE FUNCTION [OFFSET [COUNT]]", "show PCI configuration space", NEEDS_STOP,
     0, run_command_bus},
    {NULL, NULL, NULL, NEEDS_NOTHING, 0, NULL},
};
