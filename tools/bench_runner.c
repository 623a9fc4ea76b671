/* The reference for bench_runner.py: the same work as edgekit/runner/payload.py, in C, over the same library.
 *
 *   bench_runner latency|memory LIBRARY MODEL THREADS WARMUP_S MIN_RUNS MIN_S SAMPLE...
 *
 * SAMPLE is one raw tensor file per input, sample after sample. Prints "key value" lines: median_ns and runs, or the
 * resident memory at the end of each phase and the peak within it, in kB. Needs a library of LiteRT 2.1.6 or newer.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MOST_TENSORS = 32, MOST_SAMPLES = 64, CPU = 1, HOST_MEMORY = 1, READ_ACCESS = 0, WRITE_ACCESS = 1 };

typedef void *Handle;
typedef struct {
  int32_t element_type;
  uint32_t rank_and_flag;
  int32_t dimensions[8];
  uint32_t strides[8];
} TensorType;
typedef struct {
  int32_t tag, alignment, value_type, padding;
  int64_t value;
} EnvironmentOption;

static void *library;

static void fail(const char *what, const char *why) {
  fprintf(stderr, "bench_runner: %s: %s\n", what, why);
  exit(1);
}

static void *symbol(const char *name) {
  void *found = dlsym(library, name);
  if (!found) fail(name, "no such symbol");
  return found;
}

#define CALL(name, types, ...)                                           \
  do {                                                                   \
    int status_ = ((int(*) types)symbol(name))(__VA_ARGS__);             \
    if (status_) {                                                       \
      fprintf(stderr, "bench_runner: %s: status %d\n", name, status_);   \
      exit(1);                                                           \
    }                                                                    \
  } while (0)

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void end_phase(const char *phase) {
  char text[8192];
  int file = open("/proc/self/status", O_RDONLY);
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  text[length > 0 ? length : 0] = 0;
  const char *resident = strstr(text, "VmRSS:"), *peak = strstr(text, "VmHWM:");
  printf("%s_rss_kb %ld\n%s_peak_kb %ld\n", phase, atol(resident + 6), phase, atol(peak + 6));
  file = open("/proc/self/clear_refs", O_WRONLY);
  if (file >= 0) {
    if (write(file, "5", 1) < 0) perror("clear_refs");
    close(file);
  }
}

static int by_value(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static size_t inputs, outputs;
static Handle compiled, input_buffers[MOST_TENSORS], output_buffers[MOST_TENSORS];
static size_t input_bytes[MOST_TENSORS];
static char **sample_paths;
static char *contents[MOST_SAMPLES * MOST_TENSORS];
static size_t samples, next_sample;

static void read_into(const char *path, void *where, size_t count) {
  int file = open(path, O_RDONLY);
  if (file < 0 || read(file, where, count) != (ssize_t)count) fail(path, "cannot be read");
  close(file);
}

static void put_next(int from_memory) {
  for (size_t i = 0; i < inputs; i++) {
    size_t at = next_sample * inputs + i;
    void *where;
    CALL("LiteRtLockTensorBuffer", (Handle, void **, int), input_buffers[i], &where, WRITE_ACCESS);
    if (from_memory)
      memcpy(where, contents[at], input_bytes[i]);
    else
      read_into(sample_paths[at], where, input_bytes[i]);
    CALL("LiteRtUnlockTensorBuffer", (Handle), input_buffers[i]);
  }
  next_sample = (next_sample + 1) % samples;
}

static void make_buffers(Handle environment, Handle subgraph, int is_input, size_t count, Handle *buffers) {
  for (size_t i = 0; i < count; i++) {
    Handle tensor, requirements;
    TensorType type;
    size_t bytes;
    CALL(is_input ? "LiteRtGetSubgraphInput" : "LiteRtGetSubgraphOutput", (Handle, size_t, Handle *), subgraph, i,
         &tensor);
    memset(&type, 0, sizeof type);
    CALL("LiteRtGetRankedTensorType", (Handle, TensorType *), tensor, &type);
    for (unsigned axis = 0; axis < (type.rank_and_flag & 127); axis++)
      if (type.dimensions[axis] < 0) type.dimensions[axis] = 1;
    CALL(is_input ? "LiteRtGetCompiledModelInputBufferRequirements" : "LiteRtGetCompiledModelOutputBufferRequirements",
         (Handle, size_t, size_t, Handle *), compiled, 0, i, &requirements);
    CALL("LiteRtGetTensorBufferRequirementsBufferSize", (Handle, size_t *), requirements, &bytes);
    CALL("LiteRtCreateManagedTensorBuffer", (Handle, int, const TensorType *, size_t, Handle *), environment,
         HOST_MEMORY, &type, bytes, &buffers[i]);
    if (is_input) {
      struct stat file;
      if (stat(sample_paths[i], &file)) fail(sample_paths[i], "no such file");
      input_bytes[i] = (size_t)file.st_size;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 9) fail("usage", "latency|memory LIBRARY MODEL THREADS WARMUP_S MIN_RUNS MIN_S SAMPLE...");
  int timed = !strcmp(argv[1], "latency");
  double warmup_ns = atof(argv[5]) * 1e9, least_ns = atof(argv[7]) * 1e9;
  long least_runs = atol(argv[6]), room = 2000000, count = 0;
  sample_paths = argv + 8;
  int64_t *entries = timed ? malloc(sizeof *entries * (size_t)room) : NULL;

  end_phase("start");
  library = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("dlopen", dlerror());
  symbol("LiteRtCreateModelFromFd"); /* since 2.1.6: the environment is the first argument of CreateModelFromFile */
  end_phase("library");

  Handle environment, model, options, cpu, signature, subgraph;
  EnvironmentOption option = {25, 0, 2, 0, 3}; /* log errors only */
  CALL("LiteRtCreateEnvironment", (int, const EnvironmentOption *, Handle *), 1, &option, &environment);
  CALL("LiteRtCreateModelFromFile", (Handle, const char *, Handle *), environment, argv[3], &model);
  end_phase("model");

  char text[64];
  snprintf(text, sizeof text, "num_threads = %d\n", atoi(argv[4]));
  CALL("LiteRtCreateOptions", (Handle *), &options);
  CALL("LiteRtSetOptionsHardwareAccelerators", (Handle, int), options, CPU);
  CALL("LiteRtCreateOpaqueOptions", (const char *, void *, void (*)(void *), Handle *), "xnnpack", strdup(text), free,
       &cpu);
  CALL("LiteRtAddOpaqueOptions", (Handle, Handle), options, cpu);
  CALL("LiteRtCreateCompiledModel", (Handle, Handle, Handle, Handle *), environment, model, options, &compiled);
  size_t signatures;
  CALL("LiteRtGetNumModelSignatures", (Handle, size_t *), model, &signatures);
  if (signatures) {
    CALL("LiteRtGetModelSignature", (Handle, size_t, Handle *), model, 0, &signature);
    CALL("LiteRtGetSignatureSubgraph", (Handle, Handle *), signature, &subgraph);
  } else {
    CALL("LiteRtGetModelSubgraph", (Handle, size_t, Handle *), model, 0, &subgraph);
  }
  CALL("LiteRtGetNumSubgraphInputs", (Handle, size_t *), subgraph, &inputs);
  CALL("LiteRtGetNumSubgraphOutputs", (Handle, size_t *), subgraph, &outputs);
  samples = (size_t)(argc - 8) / inputs;
  if (inputs > MOST_TENSORS || outputs > MOST_TENSORS || samples > MOST_SAMPLES || samples == 0)
    fail("samples", "too many or none");
  make_buffers(environment, subgraph, 1, inputs, input_buffers);
  make_buffers(environment, subgraph, 0, outputs, output_buffers);
  end_phase("init");

  for (size_t i = 0; timed && i < samples * inputs; i++) {
    contents[i] = malloc(input_bytes[i % inputs]);
    read_into(sample_paths[i], contents[i], input_bytes[i % inputs]);
  }
  int (*run)(Handle, size_t, size_t, Handle *, size_t, Handle *) = symbol("LiteRtRunCompiledModel");
  put_next(timed);
  if (run(compiled, 0, inputs, input_buffers, outputs, output_buffers)) fail("run", "failed");
  end_phase("first");

  int64_t begin = now();
  while (timed && now() - begin < warmup_ns) {
    put_next(timed);
    run(compiled, 0, inputs, input_buffers, outputs, output_buffers);
  }
  begin = now();
  do {
    put_next(timed);
    int64_t start = now();
    if (run(compiled, 0, inputs, input_buffers, outputs, output_buffers)) fail("run", "failed");
    if (timed) entries[count] = now() - start;
    count++;
  } while ((count < least_runs || now() - begin < least_ns) && count < room);
  end_phase("steady");
  if (timed) {
    qsort(entries, (size_t)count, sizeof *entries, by_value);
    printf("median_ns %lld\n", (long long)entries[count / 2]);
  }
  printf("runs %ld\n", count);
  fflush(stdout);
  _exit(0);
}
