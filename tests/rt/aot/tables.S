/* tables.S - a small program as NativeAOT's compiler would lay it out, written by hand.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * TRASH: look-ups change all registers that they may (aot_dispatch.c then has true_resolve).
 *
 * For machines without the compiler's objects, and for 8.0, of which there are none. MAJOR and MINOR
 * say which version of the format is written. Types and what each of their methods returns:
 *
 *   Shape: IScale            sealed slot, Scale(x) = 2x + 1
 *   Plus: IScale             virtual slot, x + 5
 *   More: Plus               no map of its own; overrides the slot, x + 1000
 *   Given: IScale            default entry, x + 7
 *   Late: Shape, IScale      default entry, too, but the parent's standard one goes before it
 *   Box: IScale              boxed struct, its value + x, through a stub that skips the header
 *   Two: ISource<Text>, ISource<Fish>     variance: only the second is an ISource<Animal>
 *   Unclear: IScale          ambiguous default entry
 *   Maker: IScale            static members in slots 1 to 3: of itself, with itself as generic
 *                            context, and of IScale, with that as context
 *   Heir: Maker              no map of its own
 *   Younger: Maker           a default static entry for slot 2, where the parent has its own
 *   Many0 ... Many259: IScale sealed slots, x + 16 * number; MANY says how many
 *   Witness: IScale          a sum of all arguments
 */
        .intel_syntax noprefix

#ifndef MANY
#define MANY 260
#endif

#define STRUCT     0x10
#define CLASS      0x14
#define INTERFACE  0x15

#define VARIANCE 0x0080
#if MAJOR == 8
#define ELEMENT_SHIFT 11
#define HAS_MAP       0x0100
#define HAS_SEALED    0
#define GENERIC       0x0400
#else
#define ELEMENT_SHIFT 10
#define HAS_MAP       0x0004
#define HAS_SEALED    0x0040
#define GENERIC       0x0200
#endif
#if MAJOR >= 16
#define CELL      r11
#define OTHER     r10
#define KIND_BITS 7
#else
#define CELL      r10
#define OTHER     r11
#define KIND_BITS 8
#endif

/* The fixed part of a MethodTable; slots, interfaces and finish follow. */
        .macro table name, element, flags, parent, slots, interfaces, map, sealed
        .balign 8
        .globl \name
\name:
        .short 0
        .short (\element << ELEMENT_SHIFT) | \flags | \map * HAS_MAP | \sealed * HAS_SEALED
        .long 24
        .quad \parent
        .short \slots, \interfaces
        .long 0
        .endm

/* What is behind slots and interfaces. In 8.0 the map is number \index of section 203. */
        .macro finish name, map, sealed, index
        .long manager - .
        .long writable - .
#if MAJOR == 8
        .if \map
        .long \name\()_optional - .
        .endif
#else
        .if \map
        .long \name\()_map - .
        .endif
#endif
        .if \sealed
        .long \name\()_sealed - .
        .endif
        .endm

/* 8.0: rare flags (0x200: sealed slots), then the map's number in two bytes. */
        .macro optional name, sealed, index
\name\()_optional:
        .byte 0
        .short \sealed * 0x200 << 2 | 1
        .byte 0x81
        .short (\index) << 2 | 1
        .endm

        .macro sealed_slot name, code
        .balign 4
\name\()_sealed:
        .long \code - .
        .endm

        .macro map name, standard, default, static=0, default_static=0
        .balign 2
\name\()_map:
        .short \standard, \default, \static, \default_static
        .endm

        .data

/* --- Types without maps */

        table Object, CLASS, 0, 0, 0, 0, 0, 0
        finish Object, 0, 0, 0
        table IScale, INTERFACE, 0, 0, 0, 0, 0, 0
        finish IScale, 0, 0, 0
        table Animal, CLASS, 0, Object, 0, 0, 0, 0
        finish Animal, 0, 0, 0
        table Fish, CLASS, 0, Animal, 0, 0, 0, 0
        finish Fish, 0, 0, 0
        table Text, CLASS, 0, Object, 0, 0, 0, 0
        finish Text, 0, 0, 0
        table Lonely, CLASS, 0, Object, 0, 0, 0, 0
        finish Lonely, 0, 0, 0

/* ISource<out T>: a definition has no related type; where the number of parameters and their
 * variance are is what the versions differ in. */
        .balign 8
Source:
        .short 1
        .short (INTERFACE << ELEMENT_SHIFT) | 3 | VARIANCE
#if MAJOR >= 10
        .long 1
#else
        .long 0
#endif
        .quad 0
        .short 0, 0
        .long 0
        .long manager - .
        .long writable - .
        .long covariant - .
covariant:
        .byte 1

        .macro source argument
        table Source_\argument, INTERFACE, GENERIC | VARIANCE, 0, 0, 0, 0, 0
        finish Source_\argument, 0, 0, 0
        .long Source - .
#if MAJOR == 8
        .long Source_\argument\()_arguments - .
        .balign 8
Source_\argument\()_arguments:
        .short 1
        .byte 1, 0, 0, 0, 0, 0
        .quad \argument
        .byte 1
#else
        .long \argument - .
#endif
        .endm
        source Animal
        source Fish
        source Text

        .balign 8
        .globl Numbers
Numbers: /* an array of u32; its related type is the element's */
        .short 4
#if MAJOR == 8
        .short 0x18 << ELEMENT_SHIFT | 2
#else
        .short 0x18 << ELEMENT_SHIFT | 2 | 0x8000
#endif
        .long 24
        .quad 0
        .short 0, 0
        .long 0
        finish Numbers, 0, 0, 0

/* --- Types with maps */

        table Shape, CLASS, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Shape, 1, 1, 0
        optional Shape, 1, 0
        sealed_slot Shape, Shape_Scale
        map Shape, 1, 0
        .short 0, 0, 0

        table Plus, CLASS, 0, Object, 1, 1, 1, 0
        .quad Plus_Scale
        .quad IScale
        finish Plus, 1, 0, 1
        optional Plus, 0, 1
        map Plus, 1, 0
        .short 0, 0, 0

        table More, CLASS, 0, Plus, 1, 1, 0, 0
        .quad More_Scale
        .quad IScale
        finish More, 0, 0, 0

        table Given, CLASS, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Given, 1, 1, 2
        optional Given, 1, 2
        sealed_slot Given, Given_Scale
        map Given, 0, 1
        .short 0, 0, 0

        table Late, CLASS, 0, Shape, 0, 1, 1, 1
        .quad IScale
        finish Late, 1, 1, 7
        optional Late, 1, 7
        sealed_slot Late, Given_Scale
        map Late, 0, 1
        .short 0, 0, 0

        table Box, STRUCT, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Box, 1, 1, 3
        optional Box, 1, 3
        sealed_slot Box, unbox_Box_Scale
        map Box, 1, 0
        .short 0, 0, 0

        table Two, CLASS, 0, Object, 0, 2, 1, 1
        .quad Source_Text, Source_Fish
        finish Two, 1, 1, 4
        optional Two, 1, 4
        sealed_slot Two, Two_Text
        .long Two_Fish - .
        map Two, 2, 0
        .short 0, 1, 0
        .short 1, 1, 1

        table Unclear, CLASS, 0, Object, 0, 1, 1, 0
        .quad IScale
        finish Unclear, 1, 0, 5
        optional Unclear, 0, 5
        map Unclear, 0, 1
        .short 0, 0, 0xfffe

        table Maker, CLASS, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Maker, 1, 1, 8
        optional Maker, 1, 8
        sealed_slot Maker, Shape_Scale
        .long Plus_Scale - .
        .long More_Scale - .
        .long Given_Scale - .
        map Maker, 1, 0, 2, 1
        .short 0, 0, 0
        .short 0, 1, 1, 0
        .short 0, 2, 2, 1
        .short 0, 3, 3, 2

        table Heir, CLASS, 0, Maker, 0, 1, 0, 0
        .quad IScale
        finish Heir, 0, 0, 0

        table Younger, CLASS, 0, Maker, 0, 1, 1, 1
        .quad IScale
        finish Younger, 1, 1, 9
        optional Younger, 1, 9
        sealed_slot Younger, Given_Scale
        map Younger, 0, 0, 0, 1
        .short 0, 2, 0, 1

        table Witness, CLASS, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Witness, 1, 1, 6
        optional Witness, 1, 6
        sealed_slot Witness, Witness_Scale
        map Witness, 1, 0
        .short 0, 0, 0

        .macro many number
        table Many\number, CLASS, 0, Object, 0, 1, 1, 1
        .quad IScale
        finish Many\number, 1, 1, 10
        optional Many\number, 1, (10 + \number)
        sealed_slot Many\number, Many\number\()_Scale
        map Many\number, 1, 0
        .short 0, 0, 0
        .endm
        .altmacro
        .set number, 0
        .rept MANY
        many %number
        .set number, number + 1
        .endr

        .balign 8
        .globl many_types
many_types:
        .macro many_pointer number
        .quad Many\number
        .endm
        .set number, 0
        .rept MANY
        many_pointer %number
        .set number, number + 1
        .endr

/* Section 203: only 8.0 has it. */
        .balign 8
maps:
        .quad Shape_map, Plus_map, Given_map, Box_map, Two_map, Unclear_map, Witness_map
        .quad Late_map, Maker_map, Younger_map
        .macro many_map number
        .quad Many\number\()_map
        .endm
        .set number, 0
        .rept MANY
        many_map %number
        .set number, number + 1
        .endr

/* --- Dispatch cells: runs of one slot, each ended by what slot it is */

        .macro cell name, interface
        .globl \name
\name:
        .quad RhpInitialDynamicInterfaceDispatch
        .long \interface - . + 3
        .long 0
        .endm

        .balign 16
        cell cell_first, IScale
        cell cell_mono, IScale
        cell cell_few, IScale
        cell cell_many, IScale
        cell cell_uncached, IScale
        cell cell_resolve, IScale
        .globl cell_absolute
cell_absolute: /* the other way to name the interface */
        .quad RhpInitialDynamicInterfaceDispatch
        .quad IScale + 1
        .quad 0, 0
        cell cell_source, Source_Animal
        .quad 0, 1

/* --- Statics: a class with one field, and its initial contents */

        .balign 8
writable:
        .quad 0
manager:
        .quad 0, 0
        table Statics, CLASS, 0, Object, 0, 0, 0, 0
        finish Statics, 0, 0, 0
        .balign 8
statics:
#if MAJOR == 8
        .quad static_plain, static_filled
#else
        .long static_plain - .
        .long static_filled - .
#endif
statics_end:
        .balign 8
        .globl static_plain
        .globl static_filled
static_plain:
#if MAJOR == 8
        .quad Statics + 1
static_filled:
        .quad Statics + 3
        .quad contents
#else
        .long Statics - . + 1
        .long 0
static_filled:
        .long Statics - . + 3
        .long contents - .
#endif
contents:
        .quad 0x1122334455667788

constructors:
#if MAJOR == 8
        .quad eager
#else
        .long eager - .
#endif
constructors_end:

/* --- Metadata. Numbers are written in the form of two bytes, handles in that of three. */

        .macro number value
        .short (\value) << 2 | 1
        .endm
        .macro handle place, kind
        .short ((\place - blob) << (KIND_BITS + 3) | \kind << 3 | 3) & 0xffff
        .byte ((\place - blob) << (KIND_BITS + 3) | \kind << 3 | 3) >> 16
        .endm
        .macro text name, size, characters
\name:
        .byte \size << 1
        .ascii "\characters"
        .endm

        .balign 4
blob:
        .long 0xdeaddffd
        text text_own, 3, Own
        text text_shape, 5, Shape
        text text_scale, 5, Scale
        text text_part, 6, Part`1
        text text_mix, 3, Mix
text_do: /* "D" and an o with two dots, in UTF-8 */
        .byte 3 << 1
        .byte 'D', 0xc3, 0xb6
        text text_t, 1, T
        text text_def, 3, Def
        text text_in, 2, In
        text text_text, 4, text
namespace: /* no parent */
        .byte 0
        number text_own - blob
type: /* Own.Shape */
        handle namespace, 0x30
        number text_shape - blob
parameter_t: /* a generic parameter's name: no parent */
        .byte 0
        number text_t - blob
part: /* Own.Shape+Part`1 */
        handle type, 0x3d
        number text_part - blob
variable: /* !0 */
        .byte 0
method_variable: /* !!1 */
        .byte 1 << 1
instance: /* Own.Shape+Part`1<T,!0> */
        handle part, 0x3d
        .byte 2 << 1
        handle parameter_t, 0x3d
        handle variable, 0x3f
specification:
        handle instance, 0x3c
vector: /* !!1[] */
        handle method_variable, 0x2c
pointer: /* !!1[]* */
        handle vector, 0x37
array: /* Own.Shape[,,]; no sizes, no lower bounds */
        handle type, 0x3d
        .byte 3 << 1, 0, 0
reference: /* Own.Shape[,,]& */
        handle array, 0x01
definition: /* flags, no base type, namespace, name, size, packing, not nested */
        .byte 0, 0
        number namespace_definition - blob
        number text_def - blob
        .byte 0, 0, 0
nested: /* Own.Def+In */
        .byte 0, 0, 0
        number text_in - blob
        .byte 0, 0
        number definition - blob
namespace_definition:
        .byte 0
        number text_own - blob
signature: /* convention, generics, result; one parameter */
        .byte 0, 0
        handle type, 0x3d
        .byte 1 << 1
        handle type, 0x3d
signature_mix:
        .byte 0, 2 << 1
        handle type, 0x3d
        .byte 4 << 1
        handle reference, 0x02
        handle pointer, 0x32
        handle nested, 0x3a
        handle specification, 0x3e
arguments_mix:
        .byte 2 << 1
        handle text_text, 0x1a
        handle parameter_t, 0x3d
member: /* Own.Shape.Scale */
        handle type, 0x3d
        number text_scale - blob
        handle signature, 0x2b
member_mix:
        handle specification, 0x3e
        number text_mix - blob
        handle signature_mix, 0x2b
instantiation: /* member_mix and its arguments */
        handle member_mix, 0x27
        .byte 2 << 1
        handle text_text, 0x1a
        handle parameter_t, 0x3d
method_do: /* flags, implementation flags, name, signature */
        .byte 0, 0
        number text_do - blob
        number signature - blob
qualified: /* Own.Def.Do */
        number method_do - blob
        number definition - blob
blob_end:

/* Shape.Scale, Mix, and Do twice. */
        .balign 4
names:
#if MAJOR == 8
        .long Shape_Scale - .
        .long 0x27 << 24 | (member - blob)
        .long Plus_Scale - .
        .long 0x29 << 24 | (instantiation - blob)
        .long More_Scale - .
        .long 0x36 << 24 | (qualified - blob)
        .long Given_Scale - .
        .long 0x36 << 24 | (qualified - blob)
#else
        .long 4
        .byte 1 | 2 | 4
        .long 0x3d << (32 - KIND_BITS) | (type - blob)
        number text_scale - blob
        number signature - blob
        .long Shape_Scale - .
        .byte 1 | 2 | 8
        .long 0x3e << (32 - KIND_BITS) | (specification - blob)
        number text_mix - blob
        number signature_mix - blob
        number arguments_mix - blob
        .long Plus_Scale - .
        .byte 1 | 2 | 4 | 0x10 /* hidden */
        .long 0x3a << (32 - KIND_BITS) | (definition - blob)
        number text_do - blob
        number signature - blob
        .long More_Scale - .
        .byte 0 /* all as before */
        .long Given_Scale - .
#endif
names_end:

/* --- Dehydrated data: every command once */

#if MAJOR >= 9
        .balign 4
dry:
        .long wet - .
        .byte 3 << 3 | 0 /* copy */
        .ascii "abc"
        .byte 5 << 3 | 1 /* skip */
        .byte 1 << 3 | 2 /* rel32 to target 1 */
        .byte 29 << 3 | 1, 0 /* skip 28, n in a second byte */
        .byte 0 << 3 | 3 /* pointer to target 0 */
        .byte 2 << 3 | 4 /* rel32, twice */
        .long Shape - .
        .long Plus - .
        .byte 1 << 3 | 5 /* pointer, once */
        .long More - .
dry_end:
        .long Object - .
        .long IScale - .
        .bss
        .balign 8
        .globl wet
wet:
        .zero 3 + 5 + 4 + 28 + 8 + 8 + 8 + 8 /* the last 8 are not written */
        .data
#endif

/* --- The header */

        .macro row id, start, end
        .long \id, 1
        .quad \start, \end
        .endm

        .balign 8
header:
        .ascii "RTR\0"
        .short MAJOR, MINOR
        .long 0
        .short (header_end - header - 16) / 24
        .byte 24, 1
        row 201, statics, statics_end
#if MAJOR == 8
        .long 203, 0
        .quad maps, 0
#endif
        .long 204, 0
        .quad manager, 0
        row 205, constructors, constructors_end
#if MAJOR >= 9
        row 207, dry, dry_end
#endif
        row 313, blob, blob_end
        row 327, names, names_end
header_end:

        .section .modules$I, "dr"
        .quad header

/* --- Methods: object in rcx, x in rdx */

        .text
        .macro method name, body:vararg
        .p2align 4
        .globl \name
\name:
        \body
        ret
        .endm

/* With a RUNTIME_FUNCTION, which a name needs. */
        .macro named name, body:vararg
        .p2align 4
        .globl \name
        .seh_proc \name
\name:
        .seh_endprologue
        \body
        ret
        .seh_endproc
        .endm

        named Shape_Scale, lea rax, [rdx * 2 + 1]
        named Plus_Scale, lea rax, [rdx + 5]
        named More_Scale, lea rax, [rdx + 1000]
        named Given_Scale, lea rax, [rdx + 7]
        method Two_Text, lea rax, [rdx + 30]
        method Two_Fish, lea rax, [rdx + 40]
unbox_Box_Scale:
        add rcx, 8
        mov rax, [rcx]
        add rax, rdx
        ret

        .macro many_method number
        .p2align 4
Many\number\()_Scale:
        lea rax, [rdx + 16 * \number]
        ret
        .endm
        .set number, 0
        .rept MANY
        many_method %number
        .set number, number + 1
        .endr

/* Each argument with a weight of its own. */
Witness_Scale:
        lea rax, [rdx + r8 * 2]
        lea rax, [rax + r9 * 4]
        imul r10, [rsp + 0x28], 16
        add rax, r10
        imul r10, [rsp + 0x30], 256
        add rax, r10
        cvttsd2si r10, xmm0
        shl r10, 16
        add rax, r10
        cvttsd2si r10, xmm1
        shl r10, 20
        add rax, r10
        cvttsd2si r10, xmm2
        shl r10, 24
        add rax, r10
        cvttsd2si r10, xmm3
        shl r10, 28
        add rax, r10
        ret

eager:
        mov dword ptr [rip + eager_runs], 1
        ret
        .data
        .globl eager_runs
eager_runs:
        .long 0
        .text

#ifdef TRASH
/* Between stub and look-up: leaves other values in every register that a function may change. */
        .globl RhpResolveInterfaceMethod
        .seh_proc RhpResolveInterfaceMethod
RhpResolveInterfaceMethod:
        sub rsp, 0x28
        .seh_stackalloc 0x28
        .seh_endprologue
        call true_resolve
        mov rcx, -1
        mov rdx, rcx
        mov r8, rcx
        mov r9, rcx
        mov r10, rcx
        mov r11, rcx
        pcmpeqd xmm0, xmm0
        pcmpeqd xmm1, xmm1
        pcmpeqd xmm2, xmm2
        pcmpeqd xmm3, xmm3
        pcmpeqd xmm4, xmm4
        pcmpeqd xmm5, xmm5
        add rsp, 0x28
        ret
        .seh_endproc
#endif

/* uint64_t call_interface(object, x, cell): as compiled code calls; the other register is wrong. */
        .p2align 4
        .globl call_interface
call_interface:
        mov CELL, r8
        mov OTHER, -1
        jmp qword ptr [CELL]

/* uint64_t call_virtual(object, x): the first slot of the object's type. */
        .p2align 4
        .globl call_virtual
call_virtual:
        mov rax, [rcx]
        jmp qword ptr [rax + 24]

/* uint64_t call_plain(object, x): no look-up at all, to tell the loop's own cost. */
        .p2align 4
        .globl call_plain
call_plain:
        jmp Plus_Scale

/* uint64_t call_witness(object, cell): all argument places hold something, and all registers that a
 * call must keep are compared afterwards; 0 in rax when one of them changed. */
        .globl call_witness
        .globl call_frame
        .seh_proc call_witness
call_witness:
call_frame: /* for C, code as a place */
        push rbx
        .seh_pushreg rbx
        push rbp
        .seh_pushreg rbp
        push rsi
        .seh_pushreg rsi
        push rdi
        .seh_pushreg rdi
        push r12
        .seh_pushreg r12
        push r13
        .seh_pushreg r13
        push r14
        .seh_pushreg r14
        push r15
        .seh_pushreg r15
        sub rsp, 0x48
        .seh_stackalloc 0x48
        .seh_endprologue
        mov CELL, rdx
        mov rax, 1
        cvtsi2sd xmm0, rax
        mov rax, 2
        cvtsi2sd xmm1, rax
        mov rax, 3
        cvtsi2sd xmm2, rax
        mov rax, 4
        cvtsi2sd xmm3, rax
        mov rdx, 1
        mov r8, 1
        mov r9, 1
        mov qword ptr [rsp + 0x20], 1
        mov qword ptr [rsp + 0x28], 1
        mov ebx, 101
        mov ebp, 102
        mov esi, 103
        mov edi, 104
        mov r12d, 105
        mov r13d, 106
        mov r14d, 107
        mov r15d, 108
        movq xmm6, rbx
        movq xmm15, r15
        call qword ptr [CELL]
        xor ecx, ecx
        sub ebx, 101
        or ecx, ebx
        sub ebp, 102
        or ecx, ebp
        sub esi, 103
        or ecx, esi
        sub edi, 104
        or ecx, edi
        sub r12d, 105
        or ecx, r12d
        sub r13d, 106
        or ecx, r13d
        sub r14d, 107
        or ecx, r14d
        sub r15d, 108
        or ecx, r15d
        movq rdx, xmm6
        sub edx, 101
        or ecx, edx
        movq rdx, xmm15
        sub edx, 108
        or ecx, edx
        jz 1f
        xor eax, eax
1:      add rsp, 0x48
        pop r15
        pop r14
        pop r13
        pop r12
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        ret
        .seh_endproc
