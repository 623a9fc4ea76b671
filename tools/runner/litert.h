/* LiteRT through its C API (libLiteRt.so, libLiteRtRuntimeCApi.so; 1.4.0 to 2.3.0), opened with dlopen. */
#ifndef LITERT_H
#define LITERT_H

#include "text.h"

typedef void *Handle;

typedef struct {
  const char *name, *dtype;
  uint32_t rank;
  int32_t shape[8];
  size_t bytes;
} Tensor;

/* The inputs or the outputs of the model, in its order. */
typedef struct {
  Tensor *tensors;
  Handle *buffers;
  size_t count;
} Side;

typedef struct {
  const char *path, *version;
  bool builtin_kernels;     /* without the delegate */
  const char *weight_cache; /* file that XNNPACK keeps its packed weights in; "" for none */
  bool profiled;            /* the runtime takes the time of each op, which costs 68 MB */
  bool fully_delegated;
  Side inputs, outputs;
  void *library;
  Handle environment, model, compiled;
  int (*run)(Handle compiled, size_t signature, size_t inputs, Handle *in, size_t outputs, Handle *out);
} Engine;

/* Each ends the process with a named error where it fails. */
void engine_open(Engine *engine);
void engine_load(Engine *engine, const char *model);
void engine_build(Engine *engine, int num_threads);

/* A fresh interpreter for the same model: without what stateful ops remember. */
void engine_rebuild(Engine *engine, int num_threads);

/* Nanoseconds of one run. */
int64_t engine_run(Engine *engine);

/* A tensor's memory, for reading or writing it; then it must be released. */
void *engine_lock(Engine *engine, Handle buffer, bool writing);
void engine_unlock(Engine *engine, Handle buffer);

/* Finds a function of the library; ends the process with "library-abi" where there is none. */
void *engine_symbol(Engine *engine, const char *name);
bool engine_has(Engine *engine, const char *name);

/* Ends the process with "runtime" where the status of a function is not zero. */
void check(int status, const char *what);

/* Calls a function of the library by its name and the types of its parameters. */
#define CALL(engine, name, types, ...) check(((int(*) types)engine_symbol(engine, name))(__VA_ARGS__), name)

/* Appends the fields of protocol.RuntimeUsed as a JSON object; the tensors of a side as a JSON list. */
void put_runtime(Text *json, const Engine *engine);
void put_tensors(Text *json, const Side *side, bool with_bytes);

/* Appends a shape as a JSON list. */
void put_shape(Text *json, const Tensor *tensor);

#endif
