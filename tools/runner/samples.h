/* The input samples: in memory for timing, straight from their files when memory is what is measured. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "json.h"
#include "litert.h"

/* One tensor's bytes: in memory, or at a place in a file. */
typedef struct {
  char *content; /* NULL: read it from the file each time */
  char *path;
  int64_t start;
} Source;

typedef struct {
  Engine *engine;
  Source *sources; /* sample after sample, one for each input */
  size_t count, next;
} Samples;

/* Ends the process with the error "samples" where they do not fit the model. */
Samples open_samples(Engine *engine, const Json *request, bool in_memory);

/* Gives sample `index`, or the next one in turn, to the model. */
void put_sample(Samples *samples, size_t index);
void put_next_sample(Samples *samples);

#endif
