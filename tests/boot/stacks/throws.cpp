// throws.cpp - an exception that is thrown through frames with destructors.
//
// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "frames.h"

#define NOINLINE __attribute__((noinline))

namespace
{

volatile int destroyed;

struct Object {
    Object()
    {
    }
    Object(const Object &) = delete;
    Object &operator=(const Object &) = delete;
    ~Object()
    {
        destroyed = destroyed + 1;
    }
};

} // namespace

extern "C" NOINLINE void ThrowInner(int number)
{
    if (destroyed >= 0)
        throw number;
}

extern "C" NOINLINE void ThrowMiddle(int number)
{
    Object object;

    ThrowInner(number);
}

extern "C" NOINLINE void ThrowInt(int number)
{
    try {
        ThrowMiddle(number);
    } catch (const char *) {
        destroyed = 0;
    }
}
