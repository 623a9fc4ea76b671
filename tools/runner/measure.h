/* The loops: warm-up, the measured runs, the runs whose memory is followed. */
#ifndef MEASURE_H
#define MEASURE_H

#include "samples.h"

/* How often and how long, from the request; nanoseconds. */
typedef struct {
  int64_t warmup_runs, warmup_ns, warmup_max_ns, min_runs, min_ns, max_ns;
} Bounds;

/* Only what a mode needs of them is asked for. */
Bounds warm_up_bounds(const Json *request);
void add_run_bounds(Bounds *bounds, const Json *request);

/* Whether a loop has run often and long enough. */
bool enough(const Bounds *bounds, int64_t count, int64_t elapsed);

/* Nanoseconds of a fixed piece of work that needs no memory: a core that is throttled or shared takes longer. */
int64_t calibrate(void);

enum { WARMUP_KEPT = 1000 };

typedef struct {
  int64_t series[WARMUP_KEPT];
  size_t kept;
  int64_t typical;
  bool steady; /* the last five runs are at most 5 % quicker than the five before them */
} WarmUp;

/* Runs until the least number, the least time and a steady pace are reached. */
void warm_up(WarmUp *result, Samples *samples, const Bounds *bounds);

/* Runs and times; appends `"latency_ns": …, "batch": …, …, "during": …, ` to the trial. */
void measure(Text *json, Samples *samples, const Bounds *bounds, int64_t typical, int num_threads);

/* The same runs without keeping their times, for the memory figures; returns how many. */
int64_t repeat(Samples *samples, const Bounds *bounds);

#endif
