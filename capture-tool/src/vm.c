/* vm.c - kdlens vm: what debugging a Hyper-V virtual machine needs to have set, by PowerShell.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Every action is one script about one machine, printed before it runs. A machine is found by its
 * whole name or identifier and only then given to the cmdlets, as an object; nothing here works on
 * a pattern, on all machines, or on processes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "powershell.h"
#include "verbs.h"

#define SHOW_LIMIT   (2u * 60 * 1000) /* milliseconds */
#define CHANGE_LIMIT (10u * 60 * 1000)

enum action { ACTION_SHOW, ACTION_SET_COM, ACTION_BOOT, ACTION_DEPLOY };

struct vm_options {
    const char *action;
    const char *machine;
    const char *thing; /* a pipe, an image, a file */
    const char *disk;
    const char *to;
    uint64_t port;
    bool keep_secure_boot;
    bool json;
    bool dry_run;
};

static const char *const action_names[] = {"show", "set-com", "boot", "deploy", NULL};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), size = strlen(end);

    if (length < size)
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[length - size + i];

        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != end[i])
            return false;
    }
    return true;
}

/* --- the scripts */

static void add_show(struct script *script, const struct vm_options *options)
{
    if (options->machine) {
        script_machine(script, options->machine);
        script_add(script, "$vms = @($vm)\n");
    } else {
        script_add(script, "$vms = @(Get-VM)\n");
    }
    script_add(script,
               "foreach ($vm in $vms) {\n"
               "$info = [ordered]@{\n"
               "  name = $vm.Name\n"
               "  id = $vm.Id.Guid\n"
               "  state = \"$($vm.State)\"\n"
               "  generation = $vm.Generation\n"
               "  com = @(Get-VMComPort -VM $vm | ForEach-Object { \"$($_.Path)\" })\n"
               "  disks = @(Get-VMHardDiskDrive -VM $vm | ForEach-Object { \"$($_.Path)\" })\n"
               "  dvds = @(Get-VMDvdDrive -VM $vm | ForEach-Object { \"$($_.Path)\" })\n"
               "  secure_boot = ''\n"
               "}\n"
               "if ($vm.Generation -ge 2) {\n"
               "  $info.secure_boot = \"$((Get-VMFirmware -VM $vm).SecureBoot)\"\n"
               "}\n");
    if (options->json)
        script_add(script, "ConvertTo-Json -InputObject $info -Compress\n}\n");
    else
        script_add(script, "$info.name\n"
                           "foreach ($key in $info.Keys | Where-Object { $_ -ne 'name' }) {\n"
                           "  '  {0,-12} {1}' -f $key, ($info[$key] -join ', ')\n"
                           "}\n"
                           "}\n");
}

static void add_set_com(struct script *script, const struct vm_options *options)
{
    const char *pipe = options->thing;

    script_machine(script, options->machine);
    script_add(script,
               strncmp(pipe, "\\\\", 2) == 0 ? "$pipe = %q\n" : "$pipe = '\\\\.\\pipe\\' + %q\n",
               pipe);
    script_add(script, options->port == 2 ? "$number = 2\n" : "$number = 1\n");
    script_add(script, "Set-VMComPort -VM $vm -Number $number -Path $pipe\n"
                       "\"COM$number of $($vm.Name) is $pipe\"\n");
}

static void add_file(struct script *script, const char *file)
{
    script_add(script, "$file = (Resolve-Path -LiteralPath %q).ProviderPath\n", file);
}

static void add_stop(struct script *script)
{
    script_add(script, "if ($vm.State -ne 'Off') { Stop-VM -VM $vm -TurnOff -Force }\n");
}

static void add_start(struct script *script)
{
    script_add(script, "Start-VM -VM $vm\n"
                       "\"$($vm.Name) is started\"\n");
}

static void add_boot(struct script *script, const struct vm_options *options)
{
    script_machine(script, options->machine);
    script_add(script, "if ($vm.Generation -lt 2) { throw \"$($vm.Name) is of generation 1, which "
                       "has no UEFI firmware to boot this\" }\n");
    add_file(script, options->thing);
    add_stop(script);
    if (ends_with(options->thing, ".iso"))
        script_add(script,
                   "$drive = Get-VMDvdDrive -VM $vm | Where-Object { $_.Path -eq $file } |\n"
                   "  Select-Object -First 1\n"
                   "if (-not $drive) {\n"
                   "  $drive = Get-VMDvdDrive -VM $vm | Where-Object { -not $_.Path } |\n"
                   "    Select-Object -First 1\n"
                   "  if ($drive) {\n"
                   "    $drive = Set-VMDvdDrive -VMDvdDrive $drive -Path $file -Passthru\n"
                   "  } else {\n"
                   "    $drive = Add-VMDvdDrive -VM $vm -Path $file -Passthru\n"
                   "  }\n"
                   "}\n");
    else
        script_add(script,
                   "$drive = Get-VMHardDiskDrive -VM $vm | Where-Object { $_.Path -eq $file } |\n"
                   "  Select-Object -First 1\n"
                   "if (-not $drive) {\n"
                   "  $drive = Add-VMHardDiskDrive -VM $vm -Path $file -Passthru\n"
                   "}\n");
    if (!options->keep_secure_boot)
        script_add(script, "Set-VMFirmware -VM $vm -EnableSecureBoot Off\n");
    script_add(script, "Set-VMFirmware -VM $vm -FirstBootDevice $drive\n");
    add_start(script);
}

/* $path = the one disk of the machine that is meant. */
static void add_disk(struct script *script, const char *disk)
{
    script_add(script, "$disks = @(Get-VMHardDiskDrive -VM $vm)\n");
    if (disk)
        script_add(script,
                   "$wanted = (Resolve-Path -LiteralPath %q).ProviderPath\n"
                   "$disks = @($disks | Where-Object { $_.Path -eq $wanted })\n"
                   "if ($disks.Count -eq 0) { throw \"$wanted is not a disk of $($vm.Name)\" }\n",
                   disk);
    script_add(script, "if ($disks.Count -ne 1) { throw \"$($vm.Name) has $($disks.Count) disks; "
                       "name one by --disk: $($disks.Path -join ', ')\" }\n"
                       "$path = $disks[0].Path\n");
}

/* Each FAT partition of the disk gets a folder while the file is replaced. */
static void add_replace(struct script *script, const char *to)
{
    script_add(script,
               "if ((Get-VHD -Path $path).Attached) { throw \"$path is in use\" }\n"
               "$root = Join-Path ([IO.Path]::GetTempPath()) ('kdlens-' + [Guid]::NewGuid())\n"
               "$mounted = @()\n"
               "Mount-VHD -Path $path -NoDriveLetter\n"
               "try {\n"
               "  $disk = Get-Disk -Number (Get-VHD -Path $path).DiskNumber\n"
               "  foreach ($partition in $disk | Get-Partition) {\n"
               "    $volume = $partition | Get-Volume -ErrorAction SilentlyContinue\n"
               "    if (-not $volume -or $volume.FileSystem -notlike 'FAT*') { continue }\n"
               "    $folder = Join-Path $root $partition.PartitionNumber\n"
               "    New-Item -ItemType Directory -Path $folder | Out-Null\n"
               "    $partition | Add-PartitionAccessPath -AccessPath $folder\n"
               "    $mounted += [pscustomobject]@{ Partition = $partition; Folder = $folder }\n"
               "  }\n");
    if (to)
        script_add(script,
                   "  $targets = @($mounted | ForEach-Object { Join-Path $_.Folder %q })\n"
                   "  if ($targets.Count -ne 1) { throw \"$path has $($targets.Count) FAT "
                   "partitions, and one is needed\" }\n"
                   "  New-Item -ItemType Directory -Force -Path (Split-Path $targets[0]) | "
                   "Out-Null\n",
                   to);
    else
        script_add(script,
                   "  $leaf = Split-Path -Leaf $file\n"
                   "  $targets = @($mounted | ForEach-Object { Get-ChildItem -LiteralPath "
                   "$_.Folder -Recurse -File } |\n"
                   "    Where-Object { $_.Name -eq $leaf } | ForEach-Object { $_.FullName })\n"
                   "  if ($targets.Count -ne 1) { throw \"$path has $($targets.Count) files called "
                   "$leaf; say by --to which one is meant\" }\n");
    script_add(script,
               "  Copy-Item -LiteralPath $file -Destination $targets[0] -Force\n"
               "  if ((Get-FileHash -LiteralPath $file).Hash -ne (Get-FileHash -LiteralPath "
               "$targets[0]).Hash) {\n"
               "    throw 'the file was not written as it is'\n"
               "  }\n"
               "  \"$file is now $($targets[0].Substring($root.Length + 1)) of $path\"\n"
               "} finally {\n"
               "  foreach ($one in $mounted) {\n"
               "    $one.Partition | Remove-PartitionAccessPath -AccessPath $one.Folder "
               "-ErrorAction Continue\n"
               "    Remove-Item -LiteralPath $one.Folder -ErrorAction Continue\n"
               "  }\n"
               "  Remove-Item -LiteralPath $root -ErrorAction SilentlyContinue\n"
               "  Dismount-VHD -Path $path\n"
               "}\n");
}

static void add_deploy(struct script *script, const struct vm_options *options)
{
    script_machine(script, options->machine);
    add_file(script, options->thing);
    add_disk(script, options->disk);
    add_stop(script);
    add_replace(script, options->to);
    add_start(script);
}

static void build(struct script *script, enum action action, const struct vm_options *options)
{
    script_begin(script);
    switch (action) {
    case ACTION_SHOW:
        add_show(script, options);
        break;
    case ACTION_SET_COM:
        add_set_com(script, options);
        break;
    case ACTION_BOOT:
        add_boot(script, options);
        break;
    case ACTION_DEPLOY:
        add_deploy(script, options);
        break;
    }
    script_end(script);
}

/* --- the verb */

static int say(int status, const char *text)
{
    fprintf(stderr, "kdlens vm: %s\n", text);
    return status;
}

/* EXIT_OK, or what is wrong with the operands. */
static int check(enum action action, const struct vm_options *options)
{
    static const char *const wanted[] = {"", "a virtual machine and a pipe",
                                         "a virtual machine and an image (ISO or VHDX)",
                                         "a virtual machine and a file"};
    char text[160];

    if (action == ACTION_SHOW)
        return options->thing ? say(EXIT_USAGE, "show takes a virtual machine at most") : EXIT_OK;
    if (!options->machine || !options->thing || !*options->machine || !*options->thing) {
        snprintf(text, sizeof text, "%s needs %s", action_names[action], wanted[action]);
        return say(EXIT_USAGE, text);
    }
    if (action == ACTION_BOOT && !ends_with(options->thing, ".iso") &&
        !ends_with(options->thing, ".vhdx") && !ends_with(options->thing, ".vhd"))
        return say(EXIT_USAGE, "boot needs an image whose name ends in .iso, .vhdx or .vhd");
    if (options->to && strstr(options->to, ".."))
        return say(EXIT_USAGE, "--to must be a path on the machine's disk, without \"..\"");
    return EXIT_OK;
}

/* Lines of PowerShell end in CR LF; standard output is text and ends them by itself. */
static void print_output(const char *text)
{
    for (; *text; text++)
        if (*text != '\r')
            putchar(*text);
}

static int run_script(const struct script *script, uint32_t limit)
{
    struct process_result result;
    struct problem problem;
    char path[PROCESS_PATH_SIZE];
    int status = EXIT_OK;

    if (!powershell_path(path, sizeof path, &problem))
        return say(EXIT_FAILED, problem.text);
    fprintf(stderr, "kdlens vm: this PowerShell runs now:\n%s", script->text);
    if (!script_run(script, limit, &result, &problem))
        return say(EXIT_FAILED, problem.text);
    print_output(result.output);
    if (result.status != 0) {
        script_reason(&result, &problem);
        status = say(EXIT_FAILED, problem.text);
    }
    process_result_clear(&result);
    return status;
}

static int run(void *values)
{
    const struct vm_options *options = values;
    struct script *script;
    struct problem problem;
    enum action action = ACTION_SHOW;
    int status;

    for (int i = 0; action_names[i]; i++)
        if (strcmp(options->action, action_names[i]) == 0)
            action = (enum action)i;
    status = check(action, options);
    if (status != EXIT_OK)
        return status;
    script = malloc(sizeof *script);
    if (!script)
        return say(EXIT_FAILED, "out of memory");
    build(script, action, options);
    if (!script_check(script, &problem))
        status = say(EXIT_USAGE, problem.text);
    else if (options->dry_run)
        fputs(script->text, stdout);
    else
        status = run_script(script, action == ACTION_SHOW ? SHOW_LIMIT : CHANGE_LIMIT);
    free(script);
    return status;
}

static const struct operand operands[] = {
    {.name = "ACTION",
     .help = "show, set-com, boot or deploy",
     .offset = offsetof(struct vm_options, action),
     .choices = action_names},
    {.name = "VM",
     .help = "the virtual machine: its whole name, or its identifier",
     .offset = offsetof(struct vm_options, machine),
     .optional = true},
    {.name = "PIPE|FILE",
     .help = "set-com: the pipe; boot: an ISO or VHDX image; deploy: the file",
     .offset = offsetof(struct vm_options, thing),
     .optional = true,
     .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {'n', "dry-run", OPTION_FLAG, offsetof(struct vm_options, dry_run),
     .help = "print the PowerShell, and do nothing; works on every system"},
    {0, "port", OPTION_NUMBER, offsetof(struct vm_options, port), .value = "N", .min = 1, .max = 2,
     .help = "set-com: COM1 or COM2"},
    {0, "disk", OPTION_TEXT, offsetof(struct vm_options, disk), .value = "VHDX",
     .help = "deploy: which of the machine's disks; else its only one", .complete = COMPLETE_FILE},
    {0, "to", OPTION_TEXT, offsetof(struct vm_options, to), .value = "PATH",
     .help = "deploy: where the file belongs on the disk's FAT partition, "
             "\\EFI\\BOOT\\BOOTX64.EFI; else where a file of its name is"},
    {0, "keep-secure-boot", OPTION_FLAG, offsetof(struct vm_options, keep_secure_boot),
     .help = "boot: leave Secure Boot as it is; else it is switched off, for an image that is not "
             "signed"},
    {0, "json", OPTION_FLAG, offsetof(struct vm_options, json),
     .help = "show: one JSON object a machine"},
    {0},
};

static const struct section sections[] = {
    {"Actions",
     "Each prints the PowerShell it will run, and needs Windows with Hyper-V and an elevated "
     "prompt.\n"
     "  show [VM]           state, COM ports, disks, Secure Boot\n"
     "  set-com VM PIPE     connect a COM port to \\\\.\\pipe\\PIPE, which Hyper-V makes\n"
     "  boot VM ISO|VHDX    turn the machine off, attach the image, boot from it\n"
     "  deploy VM FILE      turn the machine off, replace the file on its disk, start it\n"
     "Only the machine that is named is touched; turning it off is like pulling its plug."},
    {0},
};

static const struct example examples[] = {
    {"kdlens vm show", "all virtual machines"},
    {"kdlens vm set-com \"Windows 11\" kd", "then: kdlens tap pipe-listen:windbg pipe:kd -w "
                                            "FILE.pcapng"},
    {"kdlens vm deploy target kdagent.efi --dry-run", "see what would be done"},
    {0},
};

static const struct vm_options defaults = {.port = 1};

const struct verb verb_vm = {
    .name = "vm",
    .summary = "prepare a Hyper-V virtual machine for debugging",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct vm_options),
    .defaults = &defaults,
    .run = run,
};
