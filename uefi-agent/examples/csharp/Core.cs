// Core.cs - the core library of the example: what the C# compiler and NativeAOT's compiler name.
// SPDX-License-Identifier: BSD-2-Clause-Patent
//
// It takes the place of System.Private.CoreLib (ilc --systemmodule). A program that uses more of the
// language adds here what the compilers then ask for. There are no exceptions, no casts that can
// fail, and no threads; a failed check ends in Fail.

namespace System
{
    public unsafe class Object
    {
        // The address of the MethodTable; found by its place, which is the first.
        internal void* type;

        public Object() { }
        ~Object() { }
        public virtual bool Equals(object other) => this == other;
        public virtual int GetHashCode() => 0;
        public virtual string ToString() => "";
    }

    public struct Void { }
    public abstract class ValueType { }
    public abstract class Enum : ValueType { }
    public struct Boolean { }
    public struct Char { }
    public struct SByte { }
    public struct Byte { }
    public struct Int16 { }
    public struct UInt16 { }
    public struct Int32 { }
    public struct UInt32 { }
    public struct Int64 { }
    public struct UInt64 { }
    public struct IntPtr { }
    public struct UIntPtr { }
    public struct Single { }
    public struct Double { }
    public struct Nullable<T> where T : struct { }
    public struct RuntimeTypeHandle { IntPtr value; }
    public struct RuntimeMethodHandle { IntPtr value; }
    public struct RuntimeFieldHandle { IntPtr value; }
    public abstract class Type { }
    public class RuntimeType : Type { }
    public class Exception { }
    public abstract class Delegate { }
    public abstract class MulticastDelegate : Delegate { }

    public sealed class String
    {
        internal readonly int length;
        internal char first;

        public int Length => length;
    }

    public abstract class Array
    {
        internal int length;

        public int Length => length;
    }

    public class Array<T> : Array { }

    public class Attribute { }
    public enum AttributeTargets { All = 0x7fff }
    public sealed class AttributeUsageAttribute : Attribute
    {
        public AttributeUsageAttribute(AttributeTargets validOn) { }
        public bool AllowMultiple { get; set; }
        public bool Inherited { get; set; }
    }
    public sealed class ParamArrayAttribute : Attribute { }

    // Stands for every reference type in generic code that they share.
    class __Canon { }

    // Copies and fills that the compiler does not unroll.
    static unsafe class SpanHelpers
    {
        static void Memmove(ref byte to, ref byte from, nuint count)
        {
            fixed (byte* target = &to, source = &from)
            {
                if (target <= source)
                    for (nuint i = 0; i < count; i++)
                        target[i] = source[i];
                else
                    for (nuint i = count; i > 0; i--)
                        target[i - 1] = source[i - 1];
            }
        }

        static void ClearWithoutReferences(ref byte start, nuint count) => Fill(ref start, 0, count);

        static void Fill(ref byte start, byte value, nuint count)
        {
            fixed (byte* target = &start)
                for (nuint i = 0; i < count; i++)
                    target[i] = value;
        }
    }
}

namespace System.Reflection
{
    public sealed class DefaultMemberAttribute : Attribute
    {
        public DefaultMemberAttribute(string name) { }
    }
}

namespace System.Runtime
{
    public sealed class RuntimeExportAttribute : Attribute
    {
        public RuntimeExportAttribute(string name) { }
    }

    public sealed class RuntimeImportAttribute : Attribute
    {
        public RuntimeImportAttribute(string name) { }
        public RuntimeImportAttribute(string library, string name) { }
    }

    // Boxing: a symbol for ilc 8 and 9, a method found by its name for ilc 10.
    static unsafe class RuntimeExports
    {
        [System.Runtime.CompilerServices.MethodImpl(
            System.Runtime.CompilerServices.MethodImplOptions.InternalCall)]
        [RuntimeImport("RhpNewFast")]
        static extern object RhpNewFast(Internal.Runtime.MethodTable* type);

        [RuntimeExport("RhBox")]
        static object RhBox(Internal.Runtime.MethodTable* type, ref byte value)
        {
            object box = RhpNewFast(type);
            byte* to = *(byte**)&box + sizeof(void*);

            // The base size counts a word in front of the object and its type's address.
            fixed (byte* from = &value)
                for (uint i = 0; i < type->baseSize - 2 * sizeof(void*); i++)
                    to[i] = from[i];
            return box;
        }
    }

    // Casts and stores that need a check at run time; the example has none.
    static unsafe class TypeCast
    {
        static object CheckCastAny(Internal.Runtime.MethodTable* type, object o) => None();
        static object CheckCastInterface(Internal.Runtime.MethodTable* type, object o) => None();
        static object CheckCastClass(Internal.Runtime.MethodTable* type, object o) => None();
        static object CheckCastClassSpecial(Internal.Runtime.MethodTable* type, object o) => None();
        static object IsInstanceOfAny(Internal.Runtime.MethodTable* type, object o) => None();
        static object IsInstanceOfInterface(Internal.Runtime.MethodTable* type, object o) => None();
        static object IsInstanceOfClass(Internal.Runtime.MethodTable* type, object o) => None();
        static bool IsInstanceOfException(Internal.Runtime.MethodTable* type, object o) => None() != null;
        static void StelemRef(object[] array, nint index, object o) => None();

        static object None()
        {
            Internal.Runtime.CompilerHelpers.ThrowHelpers.Fail(8);
            return null;
        }
    }
}

namespace System.Runtime.InteropServices
{
    public sealed class UnmanagedCallersOnlyAttribute : Attribute
    {
        public Type[] CallConvs;
        public string EntryPoint;
    }

    public enum LayoutKind { Sequential = 0, Explicit = 2, Auto = 3 }
    public sealed class StructLayoutAttribute : Attribute
    {
        public StructLayoutAttribute(LayoutKind kind) { }
        public int Size;
        public int Pack;
    }

    public sealed class InAttribute : Attribute { }
    interface IDynamicInterfaceCastable { void GetDynamicInterfaceImplementation(); }
}

namespace System.Runtime.CompilerServices
{
    public sealed class IsVolatile { }
    public class IntrinsicAttribute : Attribute { }
    public class IsByRefLikeAttribute : Attribute { }
    public enum MethodImplOptions { NoInlining = 8, InternalCall = 4096 }
    public sealed class MethodImplAttribute : Attribute
    {
        public MethodImplAttribute(MethodImplOptions options) { }
    }
    public static class RuntimeHelpers { public static int OffsetToStringData => 12; }
    public static class RuntimeFeature
    {
        public const string DefaultImplementationsOfInterfaces = "DefaultImplementationsOfInterfaces";
        public const string UnmanagedSignatureCallingConvention = "UnmanagedSignatureCallingConvention";
    }

    // Static constructors run when a static of the class is first used.
    public unsafe struct StaticClassConstructionContext { public IntPtr cctorMethodAddress; }

    static unsafe class ClassConstructorRunner
    {
        static void CheckStaticClassConstruction(StaticClassConstructionContext* context)
        {
            void* constructor = *(void**)context;

            if (constructor == null)
                return;
            *(void**)context = null;
            ((delegate*<void>)constructor)();
        }

        static object CheckStaticClassConstructionReturnGCStaticBase(
            StaticClassConstructionContext* context, object gcStaticBase)
        {
            CheckStaticClassConstruction(context);
            return gcStaticBase;
        }

        static nint CheckStaticClassConstructionReturnNonGCStaticBase(
            StaticClassConstructionContext* context, nint nonGcStaticBase)
        {
            CheckStaticClassConstruction(context);
            return nonGcStaticBase;
        }
    }
}

namespace Internal.Runtime
{
    struct MethodTable
    {
        internal ushort componentSize;
        internal ushort flags;
        internal uint baseSize;
    }
}

namespace Internal.Runtime.CompilerHelpers
{
    // Where checks of compiled code end when they fail.
    static class ThrowHelpers
    {
        [System.Runtime.CompilerServices.MethodImpl(
            System.Runtime.CompilerServices.MethodImplOptions.InternalCall)]
        [System.Runtime.RuntimeImport("HostFail")]
        internal static extern void Fail(int reason);

        static void ThrowIndexOutOfRangeException() { Fail(1); while (true) { } }
        static void ThrowNullReferenceException() { Fail(2); while (true) { } }
        static void ThrowOverflowException() { Fail(3); while (true) { } }
        static void ThrowDivideByZeroException() { Fail(4); while (true) { } }
        static void ThrowArrayTypeMismatchException() { Fail(5); while (true) { } }
        static void ThrowPlatformNotSupportedException() { Fail(6); while (true) { } }
        static void ThrowInvalidProgramException() { Fail(7); while (true) { } }
        static void ThrowFeatureBodyRemoved() { Fail(9); while (true) { } }
    }
}
