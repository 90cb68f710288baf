// throw.cpp - C++ exceptions of all forms, traced; the same source runs with any C++ runtime.
//
// SPDX-License-Identifier: BSD-2-Clause-Patent
//
// Each case writes what happens, in order, with note(). A program of the build machine that is
// linked with its own C++ runtime says what the traces must be.
extern "C" void note(const char *text);
extern "C" void note_number(long number);
extern "C" void throw_cases(void (*begin)(const char *name));

#define NOINLINE __attribute__((noinline))

namespace
{

struct Object {
    long id;
    explicit Object(long number) : id(number)
    {
        note("+");
        note_number(id);
    }
    Object(const Object &other) : id(other.id + 100)
    {
        note("copy");
        note_number(id);
    }
    ~Object()
    {
        note("-");
        note_number(id);
    }
};

struct Base {
    long base;
    Base() : base(1) {}
    virtual long value() const { return base; }
};

struct Other {
    long other;
    Other() : other(2) {}
};

struct Derived : Base, Other {
    long own;
    Derived() : own(3) {}
    long value() const override { return 30; }
};

struct Root {
    long root;
    Root() : root(7) {}
};

struct Left : virtual Root {
    long left;
    Left() : left(8) {}
};

struct Right : virtual Root {
    long right;
    Right() : right(9) {}
};

struct Diamond : Left, Right {
};

// Its table of virtual bases is not the first thing in it.
struct Virtual : virtual Root {
    long own;
    Virtual() : own(11) {}
    virtual long value() const { return own; }
};

volatile long zero;

NOINLINE void raise_int(long number)
{
    if (zero == 0)
        throw static_cast<int>(number);
    note("not reached");
}

NOINLINE void simple()
{
    try {
        raise_int(42);
        note("not reached");
    } catch (int number) {
        note("int");
        note_number(number);
    }
    note("after");
}

NOINLINE void order()
{
    try {
        Object a(1);
        Object b(2);
        {
            Object gone(3);
        }
        Object c(4);
        raise_int(5);
        Object never(6);
    } catch (...) {
        note("any");
    }
}

NOINLINE void mismatch()
{
    Object outside(1);
    try {
        Object outer(2);
        try {
            Object inner(3);
            raise_int(9);
        } catch (double) {
            note("double");
        } catch (const char *) {
            note("text");
        }
        note("not reached");
    } catch (int number) {
        note("int");
        note_number(number);
    }
    note("end");
}

NOINLINE void rethrow()
{
    try {
        try {
            throw Object(1);
        } catch (Object &object) {
            note("inner");
            object.id = 11;
            Object local(2);
            throw;
        }
    } catch (Object &object) {
        note("outer");
        note_number(object.id);
    }
    note("end");
}

NOINLINE void third()
{
    Object c(3);
    raise_int(33);
}

NOINLINE void second()
{
    Object b(2);
    third();
    note("not reached");
}

NOINLINE void first()
{
    Object a(1);
    second();
    note("not reached");
}

NOINLINE void frames()
{
    try {
        first();
    } catch (int number) {
        note_number(number);
    }
}

NOINLINE void raise_derived()
{
    throw Derived();
}

NOINLINE void bases()
{
    try {
        raise_derived();
    } catch (Other other) {
        note_number(other.other);
    }
    try {
        raise_derived();
    } catch (const Base &base) {
        note_number(base.value());
    }
    try {
        raise_derived();
    } catch (long) {
        note("long");
    } catch (Derived &derived) {
        note_number(derived.own);
    }
    try {
        throw Diamond();
    } catch (Root &root) {
        note_number(root.root);
    }
    try {
        throw Virtual();
    } catch (Root root) {
        note_number(root.root);
    }
    try {
        throw Diamond();
    } catch (Right right) {
        note_number(right.right);
        note_number(right.root);
    }
}

NOINLINE void pointers()
{
    Derived derived;
    const Derived constant;

    try {
        throw &derived;
    } catch (Other *other) {
        note_number(other->other);
    }
    try {
        throw &constant;
    } catch (Derived *) {
        note("not const");
    } catch (const Base *base) {
        note_number(base->value());
    }
    try {
        throw &derived;
    } catch (int *) {
        note("int");
    } catch (const void *pointer) {
        note(pointer == &derived ? "same" : "other");
    }
    try {
        throw static_cast<Derived *>(nullptr);
    } catch (Other *other) {
        note(other ? "pointer" : "null");
    }
}

NOINLINE void by_value()
{
    try {
        throw Object(1);
    } catch (Object object) {
        note("caught");
        note_number(object.id);
        object.id = 5;
    }
    note("end");
}

NOINLINE void replaced()
{
    try {
        try {
            throw Object(1);
        } catch (Object &) {
            Object local(2);
            raise_int(3);
        }
    } catch (int number) {
        note("int");
        note_number(number);
    }
    note("end");
}

struct Catcher {
    ~Catcher()
    {
        try {
            raise_int(2);
        } catch (int number) {
            note("inside");
            note_number(number);
        }
    }
};

NOINLINE void in_destructor()
{
    try {
        Object a(1);
        Catcher catcher;
        raise_int(1);
    } catch (int number) {
        note("outside");
        note_number(number);
    }
}

NOINLINE void translate()
{
    try {
        throw;
    } catch (Object &object) {
        note("translated");
        note_number(object.id);
    }
}

NOINLINE void called_in_catch()
{
    try {
        throw Object(4);
    } catch (...) {
        translate();
        note("still");
        translate();
    }
    note("end");
}

NOINLINE long returns()
{
    for (long i = 0; i < 4; i++) {
        Object object(i);
        try {
            raise_int(i);
        } catch (int number) {
            if (number == 0)
                continue;
            if (number == 2)
                return number * 10;
            note("go on");
        }
    }
    return -1;
}

NOINLINE void leaving()
{
    note_number(returns());
}

NOINLINE void try_in_catch()
{
    Object a(1);
    try {
        Object b(2);
        raise_int(10);
    } catch (int outer) {
        Object c(3);
        try {
            Object d(4);
            raise_int(outer + 1);
        } catch (int inner) {
            Object e(5);
            note_number(outer);
            note_number(inner);
            try {
                raise_int(inner + 1);
            } catch (int innermost) {
                note_number(outer);
                note_number(inner);
                note_number(innermost);
            }
        }
        note("between");
    }
    note("end");
}

NOINLINE long deep(long depth)
{
    Object object(depth);
    if (depth == zero)
        raise_int(77);
    return deep(depth - 1) + 1;
}

NOINLINE void recursion()
{
    try {
        deep(12);
    } catch (int number) {
        note_number(number);
    }
}

NOINLINE void out_of_catch()
{
    try {
        try {
            try {
                throw Object(1);
            } catch (Object &) {
                throw Object(2);
            }
        } catch (Object &object) {
            note_number(object.id);
            throw;
        }
    } catch (Object &object) {
        note_number(object.id);
    }
    note("end");
}

NOINLINE void many()
{
    long sum = 0;
    for (long i = 0; i < 1000; i++) {
        try {
            raise_int(i);
        } catch (int number) {
            sum += number;
        }
    }
    note_number(sum);
}

NOINLINE void big_frame()
{
    volatile char room[20000];

    room[0] = 1;
    room[19999] = 2;
    try {
        Object object(1);
        raise_int(3);
    } catch (int number) {
        note_number(number + room[0] + room[19999]);
    }
}

const struct {
    const char *name;
    void (*run)();
} cases[] = {
    {"simple", simple},
    {"order", order},
    {"mismatch", mismatch},
    {"rethrow", rethrow},
    {"frames", frames},
    {"bases", bases},
    {"pointers", pointers},
    {"by_value", by_value},
    {"replaced", replaced},
    {"in_destructor", in_destructor},
    {"called_in_catch", called_in_catch},
    {"leaving", leaving},
    {"try_in_catch", try_in_catch},
    {"recursion", recursion},
    {"out_of_catch", out_of_catch},
    {"many", many},
    {"big_frame", big_frame},
};

} // namespace

extern "C" void throw_cases(void (*begin)(const char *name))
{
    for (const auto &one : cases) {
        begin(one.name);
        one.run();
    }
}
