/* Programs of the board that tell a sensor's reading: vcgencmd, dumpsys, and what a job names. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include "system.h"

/* Runs a program, found as a shell would, and keeps what it prints, without the space around it.
 *
 * False where it is not there, fails, prints more than there is room for, or does not end within 2 s; then it is not
 * asked again.
 */
bool ask(const char *const *arguments, char *text, size_t room);

/* From now on a program that was refused an answer is not asked again. */
void never_ask(const char *program);

/* What this process starts from now on ends with it. */
void programs_end_with_us(void);

/* Takes the space from both ends of a text. */
void trim(char *text);

/* Keeps a descriptor out of the programs that are started. */
void keep_to_ourselves(int descriptor);

#endif
