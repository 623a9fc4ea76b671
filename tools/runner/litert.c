/* LiteRT through its C API: see litert.h.
 *
 * The API changed between releases. What a library needs is seen by its symbols, never by its version:
 * LiteRtCreateModelFromFd came together with the environment as first argument of LiteRtCreateModelFromFile (2.1.6),
 * and LiteRtCreateCpuOptions went away when options became TOML text (2.1.3).
 */
#include "litert.h"

#include "process.h"

enum {
  MIN_LOG_SEVERITY = 25, /* tag of an environment option */
  ERROR_SEVERITY = 3,
  INTEGER_VALUE = 2, /* type of an environment option's value */
  CPU = 1,           /* the accelerator */
  HOST_MEMORY = 1,   /* the kind of tensor buffer */
  READ_ACCESS = 0,
  WRITE_ACCESS = 1,
};

typedef struct {
  int32_t element_type;
  uint32_t rank_and_flag; /* 7 bits of rank; whether there are strides */
  int32_t dimensions[8];
  uint32_t strides[8];
} TensorType;
_Static_assert(sizeof(TensorType) == 72, "LiteRtRankedTensorType");

typedef struct {
  int32_t tag, alignment, value_type, padding;
  int64_t value;
} EnvironmentOption;

static const char *status_text(int status) {
  switch (status) {
    case 1: return "invalid argument";
    case 2: return "out of memory";
    case 3: return "runtime failure";
    case 4: return "missing input";
    case 5: return "unsupported";
    case 6: return "not found";
    case 8: return "wrong version";
    case 500: return "the file cannot be read";
    case 501: return "not a valid FlatBuffer";
    case 502: return "a library cannot be loaded";
    case 504: return "compilation failed";
    default: return "unknown";
  }
}

void check(int status, const char *what) {
  if (status) fail("runtime", "%s: status %d (%s)", what, status, status_text(status));
}

bool engine_has(Engine *engine, const char *name) { return dlsym(engine->library, name) != NULL; }

void *engine_symbol(Engine *engine, const char *name) {
  void *found = dlsym(engine->library, name);
  if (!found) fail("library-abi", "%s has no %s", engine->path, name);
  return found;
}

static bool has_typed_options(Engine *engine) { return engine_has(engine, "LiteRtCreateCpuOptions"); }

void engine_open(Engine *engine) {
  if (access(engine->path, F_OK)) fail("library-missing", "no such file: %s", engine->path);
  engine->library = dlopen(engine->path, RTLD_NOW);
  if (!engine->library) {
    const char *why = dlerror();
    fail("library-load", "%s", why ? why : engine->path);
  }
  if (!engine_has(engine, "LiteRtRunCompiledModel"))
    fail("library-load", "%s does not export LiteRT's C API", engine->path);
}

void engine_load(Engine *engine, const char *model) {
  EnvironmentOption option = {MIN_LOG_SEVERITY, 0, INTEGER_VALUE, 0, ERROR_SEVERITY};
  int known = has_typed_options(engine) ? 0 : 1; /* releases with typed options do not know the tag */
  CALL(engine, "LiteRtCreateEnvironment", (int, const EnvironmentOption *, Handle *), known, &option,
       &engine->environment);
  const char *name = "LiteRtCreateModelFromFile";
  void *create = engine_symbol(engine, name);
  int status = engine_has(engine, "LiteRtCreateModelFromFd")
                   ? ((int (*)(Handle, const char *, Handle *))create)(engine->environment, model, &engine->model)
                   : ((int (*)(const char *, Handle *))create)(model, &engine->model);
  if (status)
    fail("model-unreadable", "the runtime cannot read %s: %s: status %d (%s)", model, name, status,
         status_text(status));
}

/* Options as text; the library frees the text itself, so the text comes from malloc. */
static Handle text_options(Engine *engine, const char *identifier, const char *text) {
  Handle options;
  CALL(engine, "LiteRtCreateOpaqueOptions", (const char *, void *, void (*)(void *), Handle *), identifier,
       need(strdup(text)), free, &options);
  return options;
}

static Handle cpu_options(Engine *engine, int num_threads) {
  if (*engine->weight_cache && (engine->builtin_kernels || has_typed_options(engine)))
    fail("weight-cache-unsupported", "only XNNPACK in LiteRT 2.1.3 or later keeps packed weights in a file; this is %s",
         *engine->version ? engine->version : "another one");
  if (!has_typed_options(engine)) {
    Text text = {NULL, 0, 0};
    text_put(&text, "num_threads = %d\n%s", num_threads,
             engine->builtin_kernels ? "kernel_mode = \"builtin\"\n" : "");
    if (*engine->weight_cache) {
      for (const char *at = engine->weight_cache; *at; at++) /* the library does not read escapes */
        if (*at == '"' || *at == '\\' || *at == '\n')
          fail("request", "a weight cache cannot be called %s", engine->weight_cache);
      text_put(&text, "weight_cache_file_path = \"%s\"\n", engine->weight_cache);
    }
    Handle options = text_options(engine, "xnnpack", text.data);
    free(text.data);
    return options;
  }
  if (engine->builtin_kernels)
    fail("kernels-unsupported", "LiteRT %s always computes with XNNPACK; 2.1.3 and later can do without",
         *engine->version ? engine->version : "before 2.1.3");
  Handle options, data;
  CALL(engine, "LiteRtCreateCpuOptions", (Handle *), &options);
  const char *identifier = ((const char *(*)(void))engine_symbol(engine, "LiteRtGetCpuOptionsIdentifier"))();
  CALL(engine, "LiteRtFindOpaqueOptionsData", (Handle, const char *, Handle *), options, identifier, &data);
  CALL(engine, "LiteRtSetCpuOptionsNumThread", (Handle, int), data, num_threads);
  return options;
}

static void check_profiler(Engine *engine) {
  if (has_typed_options(engine) || !engine_has(engine, "LiteRtCompiledModelGetProfiler"))
    fail("profile-unsupported", "LiteRT %s does not tell the time of single ops; 2.1.3 and later do",
         *engine->version ? engine->version : "before 2.1.3");
}

/* Name and width of an element type; the numbers are those of the TensorFlow Lite schema. */
static size_t element_width(int32_t type, const char **name) {
  static const struct {
    int32_t type;
    const char *name;
    size_t width;
  } known[] = {
      {1, "float32", 4},  {2, "int32", 4},   {3, "uint8", 1},   {4, "int64", 8},
      {6, "bool", 1},     {7, "int16", 2},   {9, "int8", 1},    {10, "float16", 2},
      {11, "float64", 8}, {13, "uint64", 8}, {16, "uint32", 4}, {17, "uint16", 2},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (known[i].type != type) continue;
    *name = known[i].name;
    return known[i].width;
  }
  return 0;
}

/* What a tensor is; a batch (or another dimension) that is not fixed becomes 1. */
static TensorType describe(Engine *engine, Handle handle, Tensor *tensor) {
  TensorType type;
  memset(&type, 0, sizeof type);
  tensor->name = NULL;
  CALL(engine, "LiteRtGetTensorName", (Handle, const char **), handle, &tensor->name);
  if (!tensor->name) tensor->name = "";
  int (*get)(Handle, TensorType *) =
      (int (*)(Handle, TensorType *))engine_symbol(engine, "LiteRtGetRankedTensorType");
  tensor->rank = get(handle, &type) ? 128 : type.rank_and_flag & 127;
  if (tensor->rank > 8) fail("model-unsupported", "the tensor %s has no fixed rank", tensor->name);
  tensor->bytes = element_width(type.element_type, &tensor->dtype);
  if (!tensor->bytes)
    fail("model-unsupported", "the tensor %s has element type %d: not supported", tensor->name,
         (int)type.element_type);
  for (uint32_t axis = 0; axis < tensor->rank; axis++) {
    if (type.dimensions[axis] < 0) type.dimensions[axis] = 1;
    tensor->shape[axis] = type.dimensions[axis];
    if (__builtin_mul_overflow(tensor->bytes, (size_t)type.dimensions[axis], &tensor->bytes))
      fail("model-unsupported", "the tensor %s is larger than memory", tensor->name);
  }
  return type;
}

static Side make_side(Engine *engine, Handle subgraph, bool is_input) {
  Side side;
  CALL(engine, is_input ? "LiteRtGetNumSubgraphInputs" : "LiteRtGetNumSubgraphOutputs", (Handle, size_t *), subgraph,
       &side.count);
  side.tensors = need(calloc(side.count + 1, sizeof *side.tensors));
  side.buffers = need(calloc(side.count + 1, sizeof *side.buffers));
  for (size_t i = 0; i < side.count; i++) {
    Handle tensor, requirements;
    size_t needed;
    CALL(engine, is_input ? "LiteRtGetSubgraphInput" : "LiteRtGetSubgraphOutput", (Handle, size_t, Handle *), subgraph,
         i, &tensor);
    TensorType type = describe(engine, tensor, &side.tensors[i]);
    CALL(engine,
         is_input ? "LiteRtGetCompiledModelInputBufferRequirements" : "LiteRtGetCompiledModelOutputBufferRequirements",
         (Handle, size_t, size_t, Handle *), engine->compiled, 0, i, &requirements);
    CALL(engine, "LiteRtGetTensorBufferRequirementsBufferSize", (Handle, size_t *), requirements, &needed);
    if (needed < side.tensors[i].bytes)
      fail("model-unsupported", "%s %s has no fixed size", is_input ? "input" : "output", side.tensors[i].name);
    int (*create)(Handle, int, const TensorType *, size_t, Handle *) =
        (int (*)(Handle, int, const TensorType *, size_t, Handle *))engine_symbol(engine,
                                                                                  "LiteRtCreateManagedTensorBuffer");
    if (create(engine->environment, HOST_MEMORY, &type, needed, &side.buffers[i])) /* nothing else can be wrong */
      fail("out-of-memory", "the runtime cannot get %zu bytes for %s %s", needed, is_input ? "input" : "output",
           side.tensors[i].name);
  }
  return side;
}

static Handle first_subgraph(Engine *engine) {
  Handle signature, subgraph;
  size_t count;
  CALL(engine, "LiteRtGetNumModelSignatures", (Handle, size_t *), engine->model, &count);
  if (count == 0) {
    CALL(engine, "LiteRtGetModelSubgraph", (Handle, size_t, Handle *), engine->model, 0, &subgraph);
    return subgraph;
  }
  CALL(engine, "LiteRtGetModelSignature", (Handle, size_t, Handle *), engine->model, 0, &signature);
  CALL(engine, "LiteRtGetSignatureSubgraph", (Handle, Handle *), signature, &subgraph);
  return subgraph;
}

void engine_build(Engine *engine, int num_threads) {
  Handle options;
  CALL(engine, "LiteRtCreateOptions", (Handle *), &options);
  CALL(engine, "LiteRtSetOptionsHardwareAccelerators", (Handle, int), options, CPU);
  CALL(engine, "LiteRtAddOpaqueOptions", (Handle, Handle), options, cpu_options(engine, num_threads));
  if (engine->profiled) {
    check_profiler(engine);
    CALL(engine, "LiteRtAddOpaqueOptions", (Handle, Handle), options,
         text_options(engine, "runtime_options_string", "enable_profiling = true\n"));
  }
  const char *name = "LiteRtCreateCompiledModel";
  int (*create)(Handle, Handle, Handle, Handle *) =
      (int (*)(Handle, Handle, Handle, Handle *))engine_symbol(engine, name);
  int status = create(engine->environment, engine->model, options, &engine->compiled);
  if (status)
    fail("model-unsupported", "the runtime cannot build the model: %s: status %d (%s)", name, status,
         status_text(status));
  Handle subgraph = first_subgraph(engine);
  engine->inputs = make_side(engine, subgraph, true);
  engine->outputs = make_side(engine, subgraph, false);
  CALL(engine, "LiteRtCompiledModelIsFullyAccelerated", (Handle, bool *), engine->compiled,
       &engine->fully_delegated);
  if (engine->builtin_kernels) engine->fully_delegated = false;
  engine->run = (int (*)(Handle, size_t, size_t, Handle *, size_t, Handle *))engine_symbol(engine,
                                                                                          "LiteRtRunCompiledModel");
}

static void forget(Engine *engine, Side *side) {
  void (*destroy)(Handle) = (void (*)(Handle))engine_symbol(engine, "LiteRtDestroyTensorBuffer");
  for (size_t i = 0; i < side->count; i++) destroy(side->buffers[i]);
  free(side->tensors);
  free(side->buffers);
}

void engine_rebuild(Engine *engine, int num_threads) {
  forget(engine, &engine->inputs);
  forget(engine, &engine->outputs);
  ((void (*)(Handle))engine_symbol(engine, "LiteRtDestroyCompiledModel"))(engine->compiled);
  engine_build(engine, num_threads);
}

int64_t engine_run(Engine *engine) {
  int64_t start = now();
  int status =
      engine->run(engine->compiled, 0, engine->inputs.count, engine->inputs.buffers, engine->outputs.count,
                  engine->outputs.buffers);
  int64_t spent = now() - start;
  check(status, "the model failed to run");
  return spent;
}

void *engine_lock(Engine *engine, Handle buffer, bool writing) {
  void *memory;
  CALL(engine, "LiteRtLockTensorBuffer", (Handle, void **, int), buffer, &memory, writing ? WRITE_ACCESS : READ_ACCESS);
  return memory;
}

void engine_unlock(Engine *engine, Handle buffer) { CALL(engine, "LiteRtUnlockTensorBuffer", (Handle), buffer); }

void put_runtime(Text *json, const Engine *engine) {
  text_put(json, "{\"name\": \"LiteRT C API\", \"version\": ");
  text_string(json, engine->version);
  int cache = *engine->weight_cache ? open64(engine->weight_cache, O_RDONLY | O_CLOEXEC) : -1;
  bool filled = cache >= 0 && lseek64(cache, 0, SEEK_END) > 0;
  if (cache >= 0) close(cache);
  text_put(json, ", \"delegate\": \"%s\", \"fully_delegated\": %s, \"kernels\": \"%s\", \"weight_cache\": %s}",
           engine->builtin_kernels ? "none" : "XNNPACK", engine->fully_delegated ? "true" : "false",
           engine->builtin_kernels ? "builtin" : "delegate", filled ? "true" : "false");
}

void put_shape(Text *json, const Tensor *tensor) {
  text_put(json, "[");
  for (uint32_t axis = 0; axis < tensor->rank; axis++)
    text_put(json, "%s%d", axis ? ", " : "", (int)tensor->shape[axis]);
  text_put(json, "]");
}

void put_tensors(Text *json, const Side *side, bool with_bytes) {
  text_put(json, "[");
  for (size_t i = 0; i < side->count; i++) {
    const Tensor *tensor = &side->tensors[i];
    text_put(json, "%s{\"name\": ", i ? ", " : "");
    text_string(json, tensor->name);
    text_put(json, ", \"dtype\": \"%s\", \"shape\": ", tensor->dtype);
    put_shape(json, tensor);
    if (with_bytes) text_put(json, ", \"bytes\": %zu", tensor->bytes);
    text_put(json, "}");
  }
  text_put(json, "]");
}
