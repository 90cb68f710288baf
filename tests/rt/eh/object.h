/* object.h - an object whose destructor leaves its number in the trace; for C++.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_RT_EH_OBJECT_H
#define KDLENS_TESTS_RT_EH_OBJECT_H

#include "fixture.h"

#ifdef __cplusplus
#define NOINLINE __attribute__((noinline))

namespace
{

struct Object {
    int id;
    explicit Object(int number) : id(number)
    {
    }
    ~Object()
    {
        note("-");
        note_number(id);
    }
};

} // namespace
#endif

#endif
