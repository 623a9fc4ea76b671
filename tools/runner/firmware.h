/* The Raspberry Pi's firmware, asked through its program vcgencmd. */
#ifndef FIRMWARE_H
#define FIRMWARE_H

#include "system.h"

/* The whole number that a text is; false where it is none. A base of 16 takes a leading 0x. */
bool parse_number(const char *text, int base, int64_t *number);

/* The number after the "=" of `vcgencmd WORD [ARGUMENT]`; false where there is no such program or no such answer. */
bool ask_firmware(const char *word, const char *argument, int base, int64_t *number);

#endif
