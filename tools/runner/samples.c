/* The input samples: see samples.h. */
#include "samples.h"

#include "process.h"

static const size_t PRELOAD_BYTES = 64 << 20; /* more are not rotated in: a small board must not swap for its inputs */

static void read_source(const Source *source, void *memory, size_t count) {
  int file = open64(source->path, O_RDONLY | O_CLOEXEC);
  bool whole = file >= 0 && lseek64(file, source->start, SEEK_SET) >= 0;
  for (size_t done = 0; whole && done < count;) {
    long part = read(file, (char *)memory + done, count - done);
    if (part < 0 && errno == EINTR) continue;
    whole = part > 0;
    if (whole) done += (size_t)part;
  }
  if (!whole) fail("samples", "cannot read %s: %s", source->path, file < 0 ? strerror(errno) : "it became shorter");
  close(file);
}

/* Divides PATH@OFFSET; the offset is -1 where the place is a file of its own. */
static int64_t divide(char *place) {
  char *at = strrchr(place, '@');
  if (!at || at == place || !at[1] || strlen(at + 1) > 18) return -1;
  for (const char *digit = at + 1; *digit; digit++)
    if (*digit < '0' || *digit > '9') return -1;
  *at = 0;
  return strtoll(at + 1, NULL, 10);
}

static Source open_source(const char *place, const Tensor *tensor, bool in_memory) {
  char *path = need(strdup(place));
  int64_t offset = divide(path), start = offset < 0 ? 0 : offset;
  int file = open64(path, O_RDONLY | O_CLOEXEC);
  int64_t size = file < 0 ? -1 : lseek64(file, 0, SEEK_END);
  if (size < 0) fail("samples", "cannot read %s: %s", path, strerror(errno));
  close(file);
  size -= start;
  if (offset < 0 ? size != (int64_t)tensor->bytes : size < (int64_t)tensor->bytes) {
    Text shape = {NULL, 0, 0};
    put_shape(&shape, tensor);
    fail("samples", "%s has %lld bytes; the input %s (%s %s) needs %zu", place, (long long)size, tensor->name,
         tensor->dtype, shape.data, tensor->bytes);
  }
  Source source = {NULL, path, start};
  if (in_memory) {
    char *content = need(malloc(tensor->bytes + 1));
    read_source(&source, content, tensor->bytes);
    source.content = content;
  }
  return source;
}

Samples open_samples(Engine *engine, const Json *request, bool in_memory) {
  const Json *list = want_list(request, "samples");
  const Side *inputs = &engine->inputs;
  Samples samples = {engine, NULL, 0, 0};
  samples.sources = need(calloc(json_count(list) * inputs->count + 1, sizeof *samples.sources));
  size_t total = 0;
  for (const Json *sample = list->first; sample; sample = sample->next) {
    size_t files = sample->kind == JSON_LIST ? json_count(sample) : 0;
    if (files != inputs->count)
      fail("samples", "sample %zu has %zu files for a model with %zu inputs", samples.count, files, inputs->count);
    for (size_t i = 0; i < inputs->count; i++) total += inputs->tensors[i].bytes;
    if (samples.count && total > PRELOAD_BYTES) break;
    Source *source = samples.sources + samples.count * inputs->count;
    const Json *place = sample->first;
    for (size_t i = 0; i < inputs->count; i++, place = place->next) {
      if (place->kind != JSON_STRING) fail("request", "samples in the request are not lists of paths");
      source[i] = open_source(place->string, &inputs->tensors[i], in_memory);
    }
    samples.count++;
  }
  if (samples.count == 0) fail("samples", "no input samples");
  return samples;
}

void put_sample(Samples *samples, size_t index) {
  const Side *inputs = &samples->engine->inputs;
  for (size_t i = 0; i < inputs->count; i++) {
    const Source *source = &samples->sources[index * inputs->count + i];
    void *memory = engine_lock(samples->engine, inputs->buffers[i], true);
    if (source->content)
      memcpy(memory, source->content, inputs->tensors[i].bytes);
    else
      read_source(source, memory, inputs->tensors[i].bytes);
    engine_unlock(samples->engine, inputs->buffers[i]);
  }
}

void put_next_sample(Samples *samples) {
  put_sample(samples, samples->next);
  samples->next = (samples->next + 1) % samples->count;
}
