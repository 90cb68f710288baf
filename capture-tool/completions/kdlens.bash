# kdlens - completion for bash; written by "kdlens help --bash".
# SPDX-License-Identifier: BSD-2-Clause-Patent
_kdlens()
{
    local current previous words="" files="" ends=" unix: unix-listen: tcp: tcp-listen: pty: serial: exec: stdio:"
    # Names of ends have colons, at which bash would divide words.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : -c current -p previous
    else
        current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "--help --version tap debug doctor capture vm import export stats stops modules mem writes prints carve dump diff scrub replay keys symbols install extcap" -- "$current"))
        return
    fi
    case "${COMP_WORDS[1]}:$previous" in
    tap:--write | tap:-w)
        files=-f
        ;;
    tap:--ring-buffer | tap:-b)
        files=none
        ;;
    tap:--live)
        files=-f
        ;;
    tap:--console)
        files=-f
        ;;
    tap:--fault)
        files=none
        ;;
    tap:--on-disconnect)
        words=" reconnect wait exit"
        ;;
    tap:--queue)
        files=none
        ;;
    debug:--command | debug:-c)
        files=none
        ;;
    debug:--symbols | debug:-y)
        files=-d
        ;;
    debug:--timeout | debug:-t)
        files=none
        ;;
    debug:--connect-timeout)
        files=none
        ;;
    doctor:--session)
        files=none
        ;;
    doctor:--key-file)
        files=-f
        ;;
    doctor:--key | doctor:-k)
        files=none
        ;;
    capture:--interface | capture:-i)
        files=none
        ;;
    capture:--port | capture:-p)
        files=none
        ;;
    capture:--filter | capture:-f)
        files=none
        ;;
    capture:--key | capture:-k)
        files=none
        ;;
    capture:--key-file)
        files=-f
        ;;
    capture:--write | capture:-w)
        files=-f
        ;;
    capture:--ring-buffer | capture:-b)
        files=none
        ;;
    vm:--port)
        files=none
        ;;
    vm:--disk)
        files=-f
        ;;
    vm:--to)
        files=none
        ;;
    import:--write | import:-w)
        files=-f
        ;;
    import:--format)
        words=" auto capture jsonl socat virtualkd raw"
        ;;
    import:--from-debugger)
        files=-f
        ;;
    import:--from-target)
        files=-f
        ;;
    import:--start)
        files=none
        ;;
    export:--as-udp)
        files=-f
        ;;
    export:--raw)
        files=-f
        ;;
    export:--jsonl)
        files=-f
        ;;
    export:--stream)
        files=none
        ;;
    export:--key-file)
        files=-f
        ;;
    export:--key | export:-k)
        files=none
        ;;
    stats:--session)
        files=none
        ;;
    stats:--key-file)
        files=-f
        ;;
    stats:--key | stats:-k)
        files=none
        ;;
    stops:--session)
        files=none
        ;;
    stops:--key-file)
        files=-f
        ;;
    stops:--key | stops:-k)
        files=none
        ;;
    modules:--at)
        files=none
        ;;
    modules:--session)
        files=none
        ;;
    modules:--key-file)
        files=-f
        ;;
    modules:--key | modules:-k)
        files=none
        ;;
    mem:--at)
        files=none
        ;;
    mem:--session)
        files=none
        ;;
    mem:--key-file)
        files=-f
        ;;
    mem:--key | mem:-k)
        files=none
        ;;
    writes:--session)
        files=none
        ;;
    writes:--key-file)
        files=-f
        ;;
    writes:--key | writes:-k)
        files=none
        ;;
    prints:--session)
        files=none
        ;;
    prints:--key-file)
        files=-f
        ;;
    prints:--key | prints:-k)
        files=none
        ;;
    carve:--write | carve:-w)
        files=-f
        ;;
    carve:--at)
        files=none
        ;;
    carve:--session)
        files=none
        ;;
    carve:--key-file)
        files=-f
        ;;
    carve:--key | carve:-k)
        files=none
        ;;
    dump:--write | dump:-w)
        files=-f
        ;;
    dump:--stop)
        files=none
        ;;
    dump:--at)
        files=none
        ;;
    dump:--format)
        words=" minidump elf kernel"
        ;;
    dump:--session)
        files=none
        ;;
    dump:--key-file)
        files=-f
        ;;
    dump:--key | dump:-k)
        files=none
        ;;
    diff:--what)
        words=" all stops modules requests"
        ;;
    diff:--session)
        files=none
        ;;
    diff:--key-file)
        files=-f
        ;;
    diff:--key | diff:-k)
        files=none
        ;;
    scrub:--write | scrub:-w)
        files=-f
        ;;
    scrub:--key-file)
        files=-f
        ;;
    scrub:--key | scrub:-k)
        files=none
        ;;
    replay:--stop)
        files=none
        ;;
    replay:--at)
        files=none
        ;;
    replay:--read-limit)
        files=none
        ;;
    replay:--fault)
        files=none
        ;;
    replay:--session)
        files=none
        ;;
    replay:--key-file)
        files=-f
        ;;
    replay:--key | replay:-k)
        files=none
        ;;
    keys:--write | keys:-w)
        files=-f
        ;;
    keys:--key-file)
        files=-f
        ;;
    keys:--key | keys:-k)
        files=none
        ;;
    keys:--for)
        files=none
        ;;
    symbols:--at)
        files=none
        ;;
    symbols:--eh)
        files=none
        ;;
    install:--part)
        words=" both plugin extcap profile all"
        ;;
    install:--plugin)
        files=-f
        ;;
    install:--tshark)
        files=-f
        ;;
    extcap:--extcap-interface)
        files=none
        ;;
    extcap:--extcap-reload-option)
        files=none
        ;;
    extcap:--extcap-capture-filter)
        files=none
        ;;
    extcap:--fifo)
        files=none
        ;;
    extcap:--extcap-control-in)
        files=none
        ;;
    extcap:--extcap-control-out)
        files=none
        ;;
    extcap:--debugger)
        files=none
        ;;
    extcap:--target)
        files=none
        ;;
    extcap:--console)
        files=none
        ;;
    extcap:--on-disconnect)
        words=" reconnect wait exit"
        ;;
    extcap:--network-interface)
        files=none
        ;;
    extcap:--port)
        files=none
        ;;
    extcap:--key)
        files=none
        ;;
    extcap:--key-file)
        files=none
        ;;
    extcap:--log-level)
        files=none
        ;;
    extcap:--log-file)
        files=none
        ;;
    tap:*)
        words="--help --write --ring-buffer --live --wireshark --raw --doctor --hold --console --heal --fault --on-disconnect --json --quiet --queue $ends"
        ;;
    debug:*)
        words="--help --command --symbols --timeout --connect-timeout --no-break --hold --json $ends"
        ;;
    doctor:*)
        words="--help --session --key-file --key --follow --findings --json"
        files=-f
        ;;
    capture:*)
        words="--help --interface --kdnet --port --filter --key --key-file --ask-key --embed-key --write --ring-buffer --promiscuous --list --json --quiet"
        ;;
    vm:*)
        words="--help --dry-run --port --disk --to --keep-secure-boot --json show set-com boot deploy"
        files=-f
        ;;
    import:*)
        words="--help --write --format --from-debugger --from-target --swap --start --raw --json"
        files=-f
        ;;
    export:*)
        words="--help --as-udp --raw --jsonl --relative --stream --key-file --key"
        files=-f
        ;;
    stats:*)
        words="--help --json --session --key-file --key"
        files=-f
        ;;
    stops:*)
        words="--help --json --session --key-file --key"
        files=-f
        ;;
    modules:*)
        words="--help --at --json --session --key-file --key"
        files=-f
        ;;
    mem:*)
        words="--help --at --physical --without-writes --text --utf16 --changes --json --session --key-file --key read find map"
        files=-f
        ;;
    writes:*)
        words="--help --all --json --session --key-file --key"
        files=-f
        ;;
    prints:*)
        words="--help --frames --json --session --key-file --key"
        files=-f
        ;;
    carve:*)
        words="--help --write --at --without-writes --as-loaded --files --json --session --key-file --key"
        files=-f
        ;;
    dump:*)
        words="--help --write --stop --at --format --json --session --key-file --key"
        files=-f
        ;;
    diff:*)
        words="--help --what --addresses --json --session --key-file --key"
        files=-f
        ;;
    scrub:*)
        words="--help --write --keep-prints --json --key-file --key"
        files=-f
        ;;
    replay:*)
        words="--help --stop --at --later --read-limit --once --strict --fault --session --key-file --key"
        files=-f
        ;;
    keys:*)
        words="--help --write --key-file --key --for --show --json add strip list"
        files=-f
        ;;
    symbols:*)
        words="--help --at --eh --parameters --json"
        files=-f
        ;;
    install:*)
        words="--help --personal --system --uninstall --dry-run --part --plugin --tshark --json"
        ;;
    extcap:*)
        words="--help --extcap-interfaces --extcap-interface --extcap-dlts --extcap-config --extcap-reload-option --extcap-capture-filter --capture --fifo --extcap-control-in --extcap-control-out --debugger --target --hold --heal --raw --console --on-disconnect --network-interface --port --key --key-file --without-key --promiscuous --log-level --log-file --debug"
        ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    case "$files" in
    -*) compopt -o filenames
        COMPREPLY+=($(compgen "$files" -- "$current")) ;;
    esac
    case "$words" in
    *:*) compopt -o nospace
        declare -F __ltrim_colon_completions >/dev/null &&
            __ltrim_colon_completions "$current" ;;
    esac
}
complete -F _kdlens kdlens
