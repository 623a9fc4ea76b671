/* A cold start: the pages of exactly the files that it reads are dropped before, and whether they went is told. */
#ifndef COLD_H
#define COLD_H

#include "litert.h"

typedef struct {
  const char *path;
  int64_t bytes, left; /* left: still in memory; -1: the kernel does not tell */
} ColdFile;

enum { MOST_COLD_FILES = 3 }; /* model, library, weight cache */

typedef struct {
  ColdFile files[MOST_COLD_FILES];
  size_t count;
  bool everything; /* the whole page cache had to be dropped, not only these files */
  int64_t major_faults, read_bytes; /* of this process until the start; -1: the kernel does not tell */
} ColdStart;

/* Drops the pages of model, library and weight cache, as far as they are there. Only where a whole file stays and this
 * is root are all clean pages of the system dropped, once; what another process has mapped would stay all the same. */
ColdStart start_cold(const char *model, const Engine *engine);

/* The first run has ended: appends `"cold": …, `, the fields of protocol.Cold. */
void put_cold(Text *json, const ColdStart *cold);

#endif
