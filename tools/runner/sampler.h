/* Follows the sensors over the measured loop: from a process of its own on another core, where there is one. */
#ifndef SAMPLER_H
#define SAMPLER_H

#include "json.h"
#include "text.h"

/* Starts the process; before the request's cores are kept to, and before the library is opened. */
void start_sampler(const Json *request, int num_threads);

/* The measured loop begins. */
void sampler_begin(void);

/* Looks at the sensors that are files, where no other process does and a glance is due. */
void glance_between_runs(int64_t time);

/* The measured loop has ended: appends the fields of protocol.During as a JSON object. */
void put_during(Text *json);

#endif
