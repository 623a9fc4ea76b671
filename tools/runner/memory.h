/* This process's memory by phase, from /proc/self/status; the peak starts anew with each phase. */
#ifndef MEMORY_H
#define MEMORY_H

#include "text.h"

enum { MOST_PHASES = 6 };

typedef struct {
  const char *name;
  int64_t resident, peak, anonymous, file, swap; /* kB; -1 where the kernel does not tell */
} Phase;

typedef struct {
  Phase phases[MOST_PHASES];
  size_t count;
  bool no_resets; /* the kernel did not let the peak be reset */
} Memory;

/* Sets the peak to the present size (man 5 proc, clear_refs). */
void reset_peak(Memory *memory);

/* Notes the memory at the end of a phase and resets the peak for the next one. */
void end_phase(Memory *memory, const char *name);

/* Appends the phases as a JSON list of protocol.MemoryPhase. */
void put_phases(Text *json, const Memory *memory);

/* Appends `"pss_bytes": …, "uss_bytes": …, ` where the kernel tells. Slow: once, at the end. */
void put_proportional(Text *json);

#endif
