// Hello.cs - a C# program for UEFI firmware: prints, computes through interfaces, and faults on
// request.
// SPDX-License-Identifier: BSD-2-Clause-Patent

using System.Runtime;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hello
{
    static unsafe class Host
    {
        // In start.c: a text that ends with a zero, to the firmware's console.
        [MethodImpl(MethodImplOptions.InternalCall)]
        [RuntimeImport("HostPrint")]
        static extern void Print(char* text);

        public static void Write(string text)
        {
            fixed (char* characters = text)
                Print(characters);
        }

        public static void Write(int number)
        {
            char* digits = stackalloc char[12];
            int at = 11;
            bool negative = number < 0;

            digits[at] = '\0';
            do {
                int digit = number % 10;

                digits[--at] = (char)('0' + (digit < 0 ? -digit : digit));
                number /= 10;
            } while (number != 0);
            if (negative)
                digits[--at] = '-';
            Print(digits + at);
        }
    }

    interface IShape
    {
        string Name { get; }
        int Area();
        int Twice() => 2 * Area();
    }

    class Square : IShape
    {
        readonly int side;

        public Square(int side) { this.side = side; }
        public virtual string Name => "square";
        public virtual int Area() => side * side;
    }

    class Cube : Square
    {
        public Cube(int side) : base(side) { }
        public override string Name => "cube";
        public override int Area() => 6 * base.Area();
    }

    struct Strip : IShape
    {
        readonly int length;

        public Strip(int length) { this.length = length; }
        public string Name => "strip";
        public int Area() => length;
        public int Twice() => length + length;
    }

    // A list of anything, newest first.
    class Pile<T>
    {
        class Link
        {
            public T item;
            public Link below;
        }

        Link top;
        int count;

        public int Count => count;

        public void Push(T item)
        {
            top = new Link { item = item, below = top };
            count++;
        }

        public T Pop()
        {
            T item = top.item;

            top = top.below;
            count--;
            return item;
        }
    }

    static class Greeting
    {
        public static readonly string text;

        static Greeting() { text = "Hello from C#\r\n"; }
    }

    // Reads what is not there, several calls deep.
    unsafe class Reader<T>
    {
        protected readonly ulong address;

        public Reader(ulong address) { this.address = address; }

        [MethodImpl(MethodImplOptions.NoInlining)]
        public int Read(T unused) => Fetch((int*)address) + 1;

        [MethodImpl(MethodImplOptions.NoInlining)]
        static int Fetch(int* from) => *from;
    }

    class Culprit : IShape
    {
        public string Name => "culprit";

        [MethodImpl(MethodImplOptions.NoInlining)]
        public int Area() => new Reader<Culprit>(0x8000000000000000).Read(this) + 1;
    }

    static class Program
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Measure(IShape shape)
        {
            Host.Write(shape.Name);
            Host.Write(" ");
            Host.Write(shape.Area());
            Host.Write(" ");
            Host.Write(shape.Twice());
            Host.Write("\r\n");
        }

        [UnmanagedCallersOnly(EntryPoint = "ManagedMain")]
        static int Main(int fault)
        {
            Pile<IShape> shapes = new Pile<IShape>();
            int[] squares = new int[10];
            int sum = 0;

            Host.Write(Greeting.text);
            if (fault != 0)
                shapes.Push(new Culprit());
            shapes.Push(new Strip(7));
            shapes.Push(new Cube(3));
            shapes.Push(new Square(4));
            while (shapes.Count > 0)
                Measure(shapes.Pop());
            for (int i = 0; i < squares.Length; i++)
                squares[i] = i * i;
            for (int i = 0; i < squares.Length; i++)
                sum += squares[i];
            Host.Write("sum of squares ");
            Host.Write(sum);
            Host.Write("\r\n");
            return sum;
        }
    }
}
