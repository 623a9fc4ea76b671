/* The process: its one answer, its end, its cores, its clocks. */
#ifndef PROCESS_H
#define PROCESS_H

#include "text.h"

enum { FAILED = 3, ABANDONED = 4 }; /* exit status: a failure that was understood; the host went away */

/* Keeps standard output for the answer alone; everything else that prints goes to standard error. */
void take_standard_output(void);

/* Undoes what whoever started this process did to its signals: ignoring and blocking are inherited. */
void take_signals(void);

/* The first line of standard input, without its end; NULL where it is longer than any request. */
char *read_request_line(void);

/* Writes the framed answer and ends the process without running the destructors of libraries. */
_Noreturn void answer(const Text *json);

/* Answers {"error": {code, message}} and ends the process with FAILED. */
_Noreturn void fail(const char *code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ends this process when the host goes away: its end of our output closes, or our parent dies. */
void end_with_the_host(void);

/* Ends this process by SIGALRM after so many seconds, even inside the library; 0: never. */
void limit_time(double seconds);

/* Keeps this process (and the threads that it will start) on the given cores; none: leaves it as it is. */
void set_cores(const int64_t *cores, size_t count);

/* The same, where they may be refused. */
bool try_cores(const int64_t *cores, size_t count);

enum { MOST_CORES = 1024 };

/* The cores that this process may run on, at most `room`; returns how many. */
size_t own_cores(int64_t *cores, size_t room);

/* Appends the cores that this process may run on, as a JSON list. */
void put_cores(Text *json);

/* Nanoseconds since some moment; since 1970; of CPU time that this process, or this thread, has used. */
int64_t now(void);
int64_t wall_clock(void);
int64_t cpu_time(void);
int64_t thread_time(void);

#endif
