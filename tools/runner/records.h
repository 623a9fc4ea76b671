/* The answers: each appends one record of edgekit.runner.protocol, as a JSON object. */
#ifndef RECORDS_H
#define RECORDS_H

#include "json.h"
#include "litert.h"

/* The runtime that a request names; ends the process with a named error where this runner cannot drive it. */
Engine engine_of(const Json *request);

/* Keeps to the request's cores and checks the model file against its hash. */
void prepare(const Json *request, const char **model_sha256);

void put_probe(Text *json, const Json *request);
void put_description(Text *json, const Json *request);
void put_trial(Text *json, const Json *request);
void put_profile(Text *json, const Json *request);

/* Appends `"python": "", "cpus": […], "before": …, "after": …`, the end of trials and profiles. */
void put_circumstances(Text *json, const Text *before);

enum { MOST_THREADS = 1024 };

#endif
