/* hotkey.c - a key of the firmware's console that stops the program.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The firmware calls from an event of its keyboard driver. What is to be shown is the program that
 * this event interrupted, so the key only leaves a note for the next tick of the timer.
 */
#include "agent_state.h"

static const EFI_GUID input_guid = EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL_GUID;

static EFI_STATUS EFIAPI on_key(EFI_KEY_DATA *key)
{
    (void)key;
    agent.key.pressed = true;
    return EFI_SUCCESS;
}

/* Without a keyboard, or on firmware that has no such notification, there is just no hot key. */
void agent_watch_key(void)
{
    EFI_KEY_DATA key = {.Key.ScanCode = agent.options.hotkey};
    void *input = NULL;

    if (!agent.options.hotkey || !agent.system->ConsoleInHandle ||
        EFI_ERROR(
            agent.services->HandleProtocol(agent.system->ConsoleInHandle, &input_guid, &input)))
        return;
    agent.key.input = input;
    if (EFI_ERROR(agent.key.input->RegisterKeyNotify(agent.key.input, &key, on_key,
                                                     &agent.key.registration)))
        agent.key.input = NULL;
}

void agent_forget_key(void)
{
    if (agent.key.input)
        agent.key.input->UnregisterKeyNotify(agent.key.input, agent.key.registration);
    agent.key.input = NULL;
}

bool agent_key_pressed(void)
{
    bool pressed = agent.key.pressed;

    agent.key.pressed = false;
    return pressed;
}
