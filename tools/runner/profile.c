/* Time per op by the runtime's own clock: see records.h. */
#include "measure.h"
#include "process.h"
#include "records.h"
#include "sensors.h"

enum { WHOLE = 1, BUILTIN_OP = 2, DELEGATE_OP = 8 }; /* types of events; a run as a whole has the tag "Invoke" */

/* As the library writes it. `node` is an op's position: in the model for the runtime's own ops, within the part that
 * it took for a delegate's. */
typedef struct {
  const char *tag;
  int32_t type;
  uint64_t start_us, elapsed_us;
  size_t memory[6];
  uint64_t node, subgraph;
  int32_t source;
} LibraryEvent;

typedef struct {
  const char *tag; /* one address for one text */
  int32_t type;
  int64_t node, elapsed_us;
} Event;

typedef struct {
  Event *events;
  size_t count;
  size_t kind; /* runs of one kind have the same events but for their times */
} Run;

typedef struct {
  Handle handle;
  Engine *engine;
  const char **tags;
  size_t tag_count;
} Profiler;

static const char *keep_tag(Profiler *profiler, const char *tag) {
  for (size_t i = 0; i < profiler->tag_count; i++)
    if (!strcmp(profiler->tags[i], tag)) return profiler->tags[i];
  profiler->tags = need(realloc(profiler->tags, (profiler->tag_count + 1) * sizeof *profiler->tags));
  return profiler->tags[profiler->tag_count++] = need(strdup(tag));
}

static Profiler start_profiler(Engine *engine) {
  Profiler profiler = {NULL, engine, NULL, 0};
  CALL(engine, "LiteRtCompiledModelGetProfiler", (Handle, Handle *), engine->compiled, &profiler.handle);
  CALL(engine, "LiteRtStartProfiler", (Handle), profiler.handle);
  return profiler;
}

/* What was recorded since the last time, of the ops of the model itself only. */
static Run take_events(Profiler *profiler) {
  Engine *engine = profiler->engine;
  int count = 0;
  CALL(engine, "LiteRtStopProfiler", (Handle), profiler->handle);
  CALL(engine, "LiteRtGetNumProfilerEvents", (Handle, int *), profiler->handle, &count);
  LibraryEvent *recorded = need(calloc((size_t)count + 1, sizeof *recorded));
  if (count > 0) /* none at all are an error to the library */
    CALL(engine, "LiteRtGetProfilerEvents", (Handle, int, LibraryEvent *), profiler->handle, count, recorded);
  Run run = {need(calloc((size_t)count + 1, sizeof(Event))), 0, 0};
  for (int i = 0; i < count; i++) {
    const LibraryEvent *event = &recorded[i];
    const char *tag = event->tag ? event->tag : "";
    bool op = (event->type == BUILTIN_OP || event->type == DELEGATE_OP) && event->subgraph == 0;
    if (op || (event->type == WHOLE && !strcmp(tag, "Invoke")))
      run.events[run.count++] = (Event){keep_tag(profiler, tag), event->type, op ? (int64_t)event->node : 0,
                                        (int64_t)event->elapsed_us};
  }
  free(recorded);
  CALL(engine, "LiteRtResetProfiler", (Handle), profiler->handle);
  CALL(engine, "LiteRtStartProfiler", (Handle), profiler->handle);
  return run;
}

static bool alike(const Run *left, const Run *right) {
  if (left->count != right->count) return false;
  for (size_t i = 0; i < left->count; i++) {
    const Event *a = &left->events[i], *b = &right->events[i];
    if (a->type != b->type || a->tag != b->tag || a->node != b->node) return false;
  }
  return true;
}

/* Numbers the kinds of runs: what an IF runs may differ from one sample to the next. Returns the most frequent one. */
static size_t find_usual(Run *runs, size_t count, size_t *how_often) {
  size_t *firsts = need(calloc(count, sizeof *firsts)), *often = need(calloc(count, sizeof *often)), kinds = 0,
         usual = 0;
  for (size_t i = 0; i < count; i++) {
    size_t kind = 0;
    while (kind < kinds && !alike(&runs[firsts[kind]], &runs[i])) kind++;
    if (kind == kinds) firsts[kinds++] = i;
    runs[i].kind = kind;
    often[kind]++;
  }
  for (size_t kind = 1; kind < kinds; kind++)
    if (often[kind] > often[usual]) usual = kind;
  *how_often = often[usual];
  return usual;
}

/* Appends `"ops": […], "whole_us": […], "other_runs": …, `. */
static void put_columns(Text *json, Run *runs, size_t count) {
  size_t often, usual = find_usual(runs, count, &often), ops = 0;
  const Run *first = runs;
  while (first->kind != usual) first++;
  int64_t *column = need(calloc(count, sizeof *column)), *whole = need(calloc(count, sizeof *whole));
  text_put(json, "\"ops\": [");
  for (size_t place = 0; place < first->count; place++) {
    const Event *event = &first->events[place];
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
      if (runs[i].kind != usual) continue;
      column[length] = runs[i].events[place].elapsed_us;
      if (event->type == WHOLE) whole[length] += column[length];
      length++;
    }
    if (event->type == WHOLE) continue;
    text_put(json, "%s{\"tag\": ", ops++ ? ", " : "");
    text_string(json, event->tag);
    text_put(json, ", \"delegated\": %s, \"node\": %lld, \"elapsed_us\": ",
             event->type == DELEGATE_OP ? "true" : "false", (long long)event->node);
    text_numbers(json, column, length);
    text_put(json, "}");
  }
  if (!ops) fail("profile-unsupported", "the runtime recorded no op of this model");
  text_put(json, "], \"whole_us\": ");
  text_numbers(json, whole, often);
  text_put(json, ", \"other_runs\": %zu, ", count - often);
}

void put_profile(Text *json, const Json *request) {
  static WarmUp series;
  const char *digest;
  int num_threads = (int)want_whole(request, "num_threads", -1, MOST_THREADS);
  Bounds bounds = warm_up_bounds(request);
  add_run_bounds(&bounds, request);
  prepare(request, &digest);
  Text before = {NULL, 0, 0};
  put_conditions(&before);
  Engine engine = engine_of(request);
  engine.profiled = true;
  engine_open(&engine);
  engine_load(&engine, want_string(request, "model"));
  engine_build(&engine, num_threads);
  Samples samples = open_samples(&engine, request, true);
  warm_up(&series, &samples, &bounds);
  Profiler profiler = start_profiler(&engine);
  Run *runs = NULL;
  size_t count = 0, room = 0;
  int64_t begin = now();
  do { /* events are read after every run: the runtime's buffer is finite */
    put_next_sample(&samples);
    free(take_events(&profiler).events); /* of putting the sample */
    engine_run(&engine);
    if (count == room) runs = need(realloc(runs, (room += room / 2 + 256) * sizeof *runs));
    runs[count++] = take_events(&profiler);
  } while (!enough(&bounds, (int64_t)count, now() - begin));
  text_put(json, "{");
  put_columns(json, runs, count);
  text_put(json, "\"runtime\": ");
  put_runtime(json, &engine);
  text_put(json, ", \"num_threads\": %d, \"model_sha256\": \"%s\", \"samples_used\": %zu, ", num_threads, digest,
           samples.count);
  put_circumstances(json, &before);
  text_put(json, "}");
}
