# test_install.py - kdlens install: plugin and extcap program into the folders Wireshark names.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS and KDLENS_PLUGIN_SO name what is installed; default those of build/.

Everything happens in a temporary folder: a home, and what tshark is told to be its system folders.
tshark is the machine's own; for other versions of Wireshark a script stands in that answers what
they answer. Root's personal folders do not count for Wireshark, so a user without rights is taken.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector"))
import kdtest

PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
PROFILE = REPOSITORY / "plugin/profile/kdlens"
NOBODY = 65534

# What tshark -v, -G folders, -G plugins and -D answer; see Stranger.
STAND_IN = """#!/bin/sh
case "$1 $2" in
"-v ") echo "TShark (Wireshark) {version} (something)." ;;
"-G folders") cat "{folder}/folders" ;;
"-G plugins") for file in {home}/.local/lib/wireshark/plugins/*/epan/kdlens.so; do
        [ ! -e "$file" ] || printf 'kdlens.so\\t0.1.0\\tdissector\\t%s\\n' "$file"
    done ;;
"-D ") find {home} -name kdlens-extcap | sed 's/.*/12. kdlens-tap (kdlens tap)/' ;;
esac
"""
OLD_FOLDERS = """Temp:                \t/tmp
Personal configuration:\t{home}/.config/wireshark
Global configuration:\t{system}/share
Personal Plugins:    \t{home}/.local/lib/wireshark/plugins/{minor}
Global Plugins:      \t{system}/plugins/{minor}
Extcap path:         \t{system}/extcap
"""
NEW_FOLDERS = """Temp:                \t/tmp
Personal configuration:\t{home}/.config/wireshark
Global configuration:\t{system}/share
Personal Plugins:    \t{home}/.local/lib/wireshark/plugins/{minor}
Global Plugins:      \t{system}/plugins/{minor}
Personal Extcap path:\t{home}/.local/lib/wireshark/extcap
Global Extcap path:  \t{system}/extcap
"""


class Install(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="kdlens-install-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.home, self.system = self.folder / "home", self.folder / "system"
        self.bin = self.folder / "bin"  # the build, where the user may read it
        # Wireshark 4.0 looks into the personal folder only when the other one is there.
        self.home.mkdir()
        (self.system / "extcap").mkdir(parents=True)
        for folder in (self.home, self.system, self.system / "extcap"):
            if os.geteuid() == 0:
                os.chown(folder, NOBODY, NOBODY)
        self.bin.mkdir()
        self.program = self.bin / "kdlens"
        shutil.copyfile(PROGRAM, self.program)
        self.program.chmod(0o755)
        shutil.copytree(PROFILE, self.bin / "profile/kdlens")
        shutil.copyfile(kdtest.plugin(), self.bin / "kdlens.so")
        (self.bin / "kdlens.so").chmod(0o644)
        self.tshark = shutil.which("tshark")
        self.version = "{}.{}".format(*kdtest.version())

    def run_program(self, *arguments, fails: bool = False, program=None):
        settings = {"HOME": str(self.home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
                    "WIRESHARK_PLUGIN_DIR": str(self.system / "plugins"),
                    "WIRESHARK_EXTCAP_DIR": str(self.system / "extcap"), "LANG": "C"}
        if os.environ.get("KDLENS_PRELOAD"):
            settings |= {"LD_PRELOAD": os.environ["KDLENS_PRELOAD"],
                         "ASAN_OPTIONS": "detect_leaks=0"}
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run([program or self.program, "install", *map(str, arguments)],
                              env=settings, cwd=self.folder, capture_output=True, text=True,
                              timeout=180, **user)
        if not fails:
            self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        return done

    def files(self) -> set[str]:
        """What is in home and system, without folders that are there to hold it."""
        return {str(path.relative_to(self.folder)) for root in (self.home, self.system)
                for path in root.rglob("*") if not path.is_dir()}

    def folders(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for root in (self.home, self.system)
                for path in root.rglob("*") if path.is_dir()}

    def extcap(self) -> str:
        return ("home/.config/wireshark/extcap/kdlens-extcap" if self.version == "4.0"
                else "home/.local/lib/wireshark/extcap/kdlens-extcap")

    def plugin(self) -> str:
        return f"home/.local/lib/wireshark/plugins/{self.version}/epan/kdlens.so"


class WithTshark(Install):
    """The Wireshark that is installed here."""

    def test_personal(self):
        done = self.run_program()
        self.assertEqual(self.files(), {self.plugin(), self.extcap()})
        self.assertEqual(os.readlink(self.folder / self.extcap()), str(self.program))
        self.assertEqual((self.folder / self.plugin()).read_bytes(),
                         kdtest.plugin().read_bytes())
        self.assertIn(f"tshark loads  {self.folder / self.plugin()}", done.stdout)
        self.assertIn("tshark lists  kdlens-tap", done.stdout)

    def test_again_changes_nothing(self):
        self.run_program()
        before = os.lstat(self.folder / self.plugin())
        done = self.run_program("--personal")
        self.assertIn("is there", done.stdout)
        self.assertNotIn("installed", done.stdout)
        self.assertEqual(os.lstat(self.folder / self.plugin()), before)

    def test_an_older_copy_is_replaced(self):
        self.run_program()
        with open(self.folder / self.plugin(), "ab") as file:
            file.write(b"more")
        (self.folder / self.extcap()).unlink()
        (self.folder / self.extcap()).write_text("#!/bin/sh\n")
        done = self.run_program()
        self.assertEqual(done.stdout.count("installed"), 2)
        self.assertEqual(self.files(), {self.plugin(), self.extcap()})

    def test_uninstall_leaves_nothing(self):
        (self.home / ".config/wireshark").mkdir(parents=True)
        (self.home / ".config/wireshark/preferences").write_text("# the user's own\n")
        (self.home / ".local/lib").mkdir(parents=True)
        if os.geteuid() == 0:
            for path in [self.home / ".config", *self.home.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        files, folders = self.files(), self.folders()
        self.run_program()
        done = self.run_program("--uninstall")
        self.assertEqual(done.stdout.count("removed"), 2)
        self.assertEqual((self.files(), self.folders()), (files, folders))
        self.assertIn("nothing", self.run_program("--uninstall").stdout)

    def test_what_others_put_there_stays(self):
        self.run_program()
        other = (self.folder / self.plugin()).with_name("other.so")
        other.write_bytes(b"")
        self.run_program("--uninstall")
        self.assertEqual(self.files(), {str(other.relative_to(self.folder))})

    def test_dry_run_does_nothing(self):
        done = self.run_program("--dry-run")
        self.assertEqual(done.stdout.count("would put"), 2)
        self.assertEqual((self.files(), self.folders()), (set(), {"system/extcap"}))
        self.run_program()
        done = self.run_program("--uninstall", "--dry-run")
        self.assertEqual(done.stdout.count("would remove"), 2)
        self.assertEqual(self.files(), {self.plugin(), self.extcap()})

    def test_system(self):
        self.run_program("--system")
        plugin = f"system/plugins/{self.version}/epan/kdlens.so"
        self.assertEqual(self.files(), {plugin, "system/extcap/kdlens-extcap"})
        for name, mode in ((plugin, 0o644), ("system/extcap/kdlens-extcap", 0o755)):
            status = os.lstat(self.folder / name)
            self.assertTrue(stat.S_ISREG(status.st_mode), "all run a copy, not the user's own")
            self.assertEqual(stat.S_IMODE(status.st_mode), mode)
        done = self.run_program("--uninstall")
        self.assertEqual(done.stdout.count("stays"), 2)
        self.run_program("--uninstall", "--system")
        self.assertEqual(self.files(), set())

    def test_a_system_folder_that_only_root_may_write(self):
        self.system.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(self.system, 0, 0)
        done = self.run_program("--system", fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("may not write", done.stderr)
        self.assertIn("--personal", done.stderr)
        self.assertEqual(self.files(), set())

    def test_a_second_copy_is_noticed(self):
        self.run_program("--system")
        done = self.run_program("--personal", fails=True)
        if done.returncode:
            self.assertIn("another copy", done.stderr)

    def test_parts(self):
        self.run_program("--part", "plugin")
        self.assertEqual(self.files(), {self.plugin()})
        self.run_program("--part", "extcap")
        self.run_program("--uninstall", "--part", "plugin")
        self.assertEqual(self.files(), {self.extcap()})

    # The profile: its files are the user's own once they are there.

    def profile(self) -> set[str]:
        return {f"home/.config/wireshark/profiles/kdlens/{file.name}" for file in PROFILE.iterdir()}

    def test_profile(self):
        done = self.run_program("--part", "profile")
        self.assertEqual(done.stdout.count("installed"), 5)
        self.assertEqual(self.files(), self.profile())
        for name in self.files():
            self.assertEqual((self.folder / name).read_bytes(),
                             (PROFILE / Path(name).name).read_bytes())
        done = self.run_program("--part", "profile")
        self.assertEqual(done.stdout.count("is there"), 5)

    def test_all_three_parts(self):
        self.run_program("--part", "all")
        self.assertEqual(self.files(), {self.plugin(), self.extcap()} | self.profile())
        done = self.run_program("--uninstall")
        self.assertIn("stays", done.stdout)
        self.assertEqual(self.files(), self.profile())
        self.run_program("--uninstall", "--part", "all")
        self.assertEqual(self.files(), set())
        self.assertEqual([name for name in self.folders() if "wireshark" in name], [])

    def test_what_was_changed_in_the_profile_stays(self):
        self.run_program("--part", "profile")
        changed = self.folder / "home/.config/wireshark/profiles/kdlens/preferences"
        changed.write_text("gui.toolbar_main_style: ICON\n")
        done = self.run_program("--part", "profile")
        self.assertRegex(done.stdout, "profile +stays +.*preferences, which differs")
        self.assertEqual(changed.read_text(), "gui.toolbar_main_style: ICON\n")

    def test_uninstalled_profile_takes_wiresharks_traces_along(self):
        self.run_program("--part", "profile")
        folder = self.folder / "home/.config/wireshark/profiles/kdlens"
        (folder / "decode_as_entries").write_text("# of Wireshark\n")
        (folder / "notes.txt").write_text("the user's own\n")
        self.run_program("--part", "profile", "--uninstall", "--dry-run")
        self.assertEqual(len(self.files()), 7)
        self.run_program("--part", "profile", "--uninstall")
        self.assertEqual([Path(name).name for name in self.files()], ["notes.txt"])

    def test_without_the_profile(self):
        shutil.rmtree(self.bin / "profile")
        done = self.run_program("--part", "all", fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no profile/kdlens beside", done.stderr)
        self.assertEqual(self.files(), set())

    def test_wireshark_reads_the_profile(self):
        """Columns, macros, and every filter of colours and buttons, by the tshark that is here."""
        self.run_program("--part", "all")
        capture = REPOSITORY / "pcaps/serial-session.pcapng"
        shutil.copyfile(capture, self.bin / "session.pcapng")
        (self.bin / "session.pcapng").chmod(0o644)
        first = self.tshark_with_profile()[0]
        self.assertRegex(first, "^ *1 .*target → debugger +KD .*Noise")
        stopped = next(line for line in self.tshark_with_profile() if "-> Windows build" in line)
        self.assertRegex(stopped, r"KD 4 0 0\.000500000 Get version")
        self.assertEqual(len(self.tshark_with_profile("-Y", "${during:89}")), 15)
        filters = re.findall(r"^@[^@]*@([^@]*)@", (PROFILE / "colorfilters").read_text(), re.M)
        filters += re.findall(r'^"TRUE","[^"]*","([^"]*)"',
                              (PROFILE / "dfilter_buttons").read_text(), re.M)
        self.assertEqual(len(filters), 13 + 9)
        for display_filter in filters:
            self.tshark_with_profile("-Y", display_filter)

    def tshark_with_profile(self, *arguments: str) -> list[str]:
        settings = {"HOME": str(self.home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(["tshark", "-C", "kdlens", "-n", "-r", self.bin / "session.pcapng",
                               *arguments], env=settings, cwd=self.folder, capture_output=True,
                              text=True, timeout=180, **user)
        self.assertEqual((done.returncode, done.stderr), (0, ""), arguments)
        return done.stdout.splitlines()

    def test_the_build_tree_and_a_release_are_known(self):
        for place in ("../plugin", f"plugins/{self.version}"):
            folder = (self.bin / place).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            source = next(path for path in (self.bin / "kdlens.so",
                                            self.folder / "plugin/kdlens.so") if path.exists())
            shutil.move(source, folder / "kdlens.so")
            self.assertIn("would put", self.run_program("--dry-run").stdout)

    def test_without_a_plugin(self):
        (self.bin / "kdlens.so").unlink()
        done = self.run_program(fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--plugin", done.stderr)
        self.assertIn("--part extcap", done.stderr)
        self.assertEqual(self.files(), set())

    def test_what_is_no_plugin(self):
        for content in (b"", b"#!/bin/sh\n", b"\x7fELF" + bytes(100), b"MZ" + b"\xff" * 100):
            (self.bin / "bad.so").write_bytes(content)
            done = self.run_program("--plugin", self.bin / "bad.so", fails=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("is no plugin", done.stderr)
        done = self.run_program("--plugin", self.program, fails=True)
        self.assertIn("is no plugin", done.stderr)

    def test_plugins_for_windows(self):
        """Exports say for which Wireshark, whatever the processor."""
        if not shutil.which("clang") or not shutil.which("lld-link"):
            self.skipTest("needs clang and lld-link (Debian packages clang, lld)")
        source, library = self.bin / "plugin.c", self.bin / "plugin.dll"
        source.write_text("__declspec(dllexport) const int plugin_want_major = 4;\n"
                          "__declspec(dllexport) const int plugin_want_minor = 99;\n")
        for processor in ("x86_64", "i686", "aarch64"):
            subprocess.run(["clang", f"--target={processor}-pc-windows-msvc", "-c", source,
                            "-o", source.with_suffix(".obj")], check=True, timeout=60)
            subprocess.run(["lld-link", "/dll", "/noentry", "/nodefaultlib", f"/out:{library}",
                            source.with_suffix(".obj")], check=True, timeout=60)
            done = self.run_program("--plugin", library, fails=True)
            self.assertIn("was built for Wireshark 4.99", done.stderr, processor)

    def test_a_damaged_plugin_does_no_harm(self):
        """Cut anywhere, and with any byte of its heads changed: an answer, and no crash."""
        data = kdtest.plugin().read_bytes()
        bad = self.bin / "bad.so"
        for cut in range(0, len(data), max(1, len(data) // 40)):
            bad.write_bytes(data[:cut])
            self.assertIn(self.run_program("--dry-run", "--plugin", bad, fails=True).returncode,
                          (0, 1))
        for at in range(16, 64, 2):
            bad.write_bytes(data[:at] + b"\xff" + data[at + 1:])
            self.assertIn(self.run_program("--dry-run", "--plugin", bad, fails=True).returncode,
                          (0, 1))

    def test_json(self):
        lines = [json.loads(line) for line in self.run_program("--json").stdout.splitlines()]
        results = {(line["part"], line["result"]): line["path"] for line in lines}
        self.assertEqual(results["plugin", "installed"], str(self.folder / self.plugin()))
        self.assertEqual(results["extcap", "installed"], str(self.folder / self.extcap()))
        self.assertIn(("check", "tshark lists"), results)

    def test_wrong_usage(self):
        done = self.run_program("--personal", "--system", fails=True)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(self.run_program("--nothing", fails=True).returncode, 2)

    def test_no_tshark(self):
        done = self.run_program("--tshark", self.folder / "none", fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("none", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "for root")
    def test_root_is_told_that_its_personal_folders_do_not_count(self):
        done = subprocess.run([self.program, "install", "--personal"], capture_output=True,
                              text=True, env={"HOME": str(self.home), "PATH": os.environ["PATH"]})
        self.assertEqual(done.returncode, 2)
        self.assertIn("--system", done.stderr)
        self.assertEqual(self.files(), set())


class Stranger(Install):
    """Other versions of Wireshark, by their answers."""

    def stand_in(self, version: str, folders: str) -> Path:
        minor = version.rsplit(".", 1)[0]
        names = {"home": self.home, "system": self.system, "minor": minor, "version": version,
                 "folder": self.folder}
        (self.folder / "folders").write_text(folders.format(**names))
        path = self.folder / "tshark"
        path.write_text(STAND_IN.format(**names))
        path.chmod(0o755)
        self.version = minor
        return path

    def plugin_for(self, minor: int) -> Path:
        """The plugin, as if built for Wireshark 4.minor: its number patched."""
        symbols = subprocess.run(["nm", "-D", kdtest.plugin()], capture_output=True, text=True)
        if symbols.returncode:
            self.skipTest("nm not found")
        address = next(int(line.split()[0], 16) for line in symbols.stdout.splitlines()
                       if line.endswith(" plugin_want_minor"))
        data = bytearray(kdtest.plugin().read_bytes())
        # .rodata is loaded where it is in the file.
        self.assertEqual(int.from_bytes(data[address:address + 4], "little"),
                         kdtest.version()[1])
        data[address:address + 4] = minor.to_bytes(4, "little")
        path = self.bin / f"kdlens-{minor}.so"
        path.write_bytes(data)
        return path

    def test_each_version_has_its_folders(self):
        for version, folders, extcap in (
                ("4.0.17", OLD_FOLDERS, ".config/wireshark/extcap"),
                ("4.2.9", OLD_FOLDERS, ".local/lib/wireshark/extcap"),
                ("4.4.19", NEW_FOLDERS, ".local/lib/wireshark/extcap"),
                ("4.6.9", NEW_FOLDERS, ".local/lib/wireshark/extcap")):
            with self.subTest(version=version):
                tshark = self.stand_in(version, folders)
                plugin = self.plugin_for(int(version.split(".")[1]))
                self.run_program("--tshark", tshark, "--plugin", plugin)
                self.assertEqual(self.files(), {self.plugin(),
                                                f"home/{extcap}/kdlens-extcap"})
                self.run_program("--tshark", tshark, "--uninstall")
                self.assertEqual(self.files(), set())
                self.assertEqual([name for name in self.folders() if "wireshark" in name], [])

    def test_what_was_installed_for_an_earlier_version_goes_too(self):
        self.run_program("--tshark", self.stand_in("4.0.17", OLD_FOLDERS), "--plugin",
                         self.plugin_for(0))
        later = self.stand_in("4.4.19", NEW_FOLDERS)
        self.run_program("--tshark", later, "--plugin", self.plugin_for(4), fails=True)
        self.assertEqual(len(self.files()), 4)
        self.run_program("--tshark", later, "--uninstall")
        self.assertEqual(self.files(), set())

    def test_profile_for_all_users(self):
        tshark = self.stand_in("4.6.9", NEW_FOLDERS)
        self.run_program("--tshark", tshark, "--part", "profile", "--system")
        self.assertEqual(self.files(), {f"system/share/profiles/kdlens/{file.name}"
                                        for file in PROFILE.iterdir()})
        self.run_program("--tshark", tshark, "--part", "profile", "--system", "--uninstall")
        self.assertEqual(self.files(), set())
        self.assertIn("system/share/profiles", self.folders())

    def test_no_folder_for_profiles_of_all(self):
        tshark = self.stand_in("4.6.9", NEW_FOLDERS.replace("Global configuration:", "Else:"))
        done = self.run_program("--tshark", tshark, "--part", "profile", "--system", fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--personal", done.stderr)

    def test_a_plugin_for_another_version_is_refused(self):
        tshark = self.stand_in("4.9.1", NEW_FOLDERS)
        done = self.run_program("--tshark", tshark, fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("was built for Wireshark {}.{}".format(*kdtest.version()), done.stderr)
        self.assertIn("4.9.1", done.stderr)
        self.assertIn("--part extcap", done.stderr)
        self.assertEqual(self.files(), set())
        self.run_program("--tshark", tshark, "--part", "extcap")
        self.assertEqual(self.files(), {"home/.local/lib/wireshark/extcap/kdlens-extcap"})

    def test_carriage_returns_and_separators_at_the_end(self):
        text = NEW_FOLDERS.replace("extcap\n", "extcap/\r\n").replace("{minor}\n", "{minor}\r\n")
        tshark = self.stand_in("4.4.19", text)
        self.run_program("--tshark", tshark, "--plugin", self.plugin_for(4))
        self.assertEqual(self.files(), {self.plugin(),
                                        "home/.local/lib/wireshark/extcap/kdlens-extcap"})

    def test_answers_that_make_no_sense(self):
        for version, folders in (("none", NEW_FOLDERS), ("4.4.1", ""),
                                 ("4.4.1", "Personal Plugins:\n")):
            tshark = self.stand_in(version, folders)
            done = self.run_program("--tshark", tshark, fails=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn("no answer that can be read", done.stderr)
            self.assertEqual(self.files(), set())

    def test_a_plugin_that_is_not_loaded(self):
        tshark = self.stand_in("4.4.19", NEW_FOLDERS)
        tshark.write_text(tshark.read_text().replace("printf", "echo not-loaded >&2 || printf"))
        done = self.run_program("--tshark", tshark, "--plugin", self.plugin_for(4), fails=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not load", done.stderr)
        self.assertIn("not-loaded", done.stderr)

    def test_names_with_blanks_and_quotes(self):
        folder = self.folder / "a b'c\"d$(touch x)"
        folder.mkdir()
        program = folder / "kdlens"
        shutil.copyfile(PROGRAM, program)
        program.chmod(0o755)
        tshark = self.stand_in("4.4.19", NEW_FOLDERS)
        shutil.move(tshark, folder / "tshark")
        self.run_program("--tshark", folder / "tshark", "--plugin", self.plugin_for(4),
                         program=program)
        link = self.home / ".local/lib/wireshark/extcap/kdlens-extcap"
        self.assertEqual(os.readlink(link), str(program))


if __name__ == "__main__":
    kdtest.main()
