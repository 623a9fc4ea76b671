/* One trial, a probe or a description: see records.h. */
#include "cold.h"
#include "measure.h"
#include "memory.h"
#include "pages.h"
#include "process.h"
#include "records.h"
#include "sampler.h"
#include "sensors.h"
#include "sha256.h"

Engine engine_of(const Json *request) {
  const char *kernels = string_or(request, "kernels", "delegate");
  const char *library = string_or(request, "library", "");
  const char *module = string_or(request, "module", "");
  if (!*library && *module)
    fail("module-unsupported", "the native runner drives LiteRT's library; it cannot use the Python module %s",
         module);
  if (!*library) fail("request", "the request names neither a library nor a module");
  if (strcmp(kernels, "delegate") && strcmp(kernels, "builtin"))
    fail("request", "there are no kernels called %s", kernels);
  Engine engine = {.path = library, .version = string_or(request, "library_version", "")};
  engine.builtin_kernels = !strcmp(kernels, "builtin");
  engine.weight_cache = string_or(request, "weight_cache", "");
  return engine;
}

void prepare(const Json *request, const char **model_sha256) {
  static Sha256Text digest;
  const char *model = want_string(request, "model"), *expected = want_string(request, "model_sha256");
  const Json *list = want_list(request, "cpus");
  int64_t *cores = need(calloc(json_count(list) + 1, sizeof *cores));
  size_t count = 0;
  for (const Json *core = list->first; core; core = core->next) {
    if (!core->is_whole) fail("request", "cpus in the request is not a list of whole numbers");
    cores[count++] = core->whole;
  }
  set_cores(cores, count);
  free(cores);
  sha256_model(model, digest);
  if (strcmp(digest, expected)) fail("model-sha256", "%s hashes to %s, not to %s", model, digest, expected);
  *model_sha256 = digest;
}

void put_circumstances(Text *json, const Text *before) {
  text_put(json, "\"python\": \"\", \"cpus\": ");
  put_cores(json);
  text_put(json, ", \"before\": %s, \"after\": ", before->data);
  put_conditions(json);
}

void put_probe(Text *json, const Json *request) {
  Engine engine = engine_of(request);
  engine_open(&engine);
  text_put(json, "{\"name\": \"LiteRT C API\", \"version\": ");
  text_string(json, engine.version);
  text_put(json, ", \"python\": \"\"}");
}

void put_description(Text *json, const Json *request) {
  Engine engine = engine_of(request);
  engine_open(&engine);
  engine_load(&engine, want_string(request, "model"));
  engine_build(&engine, 1);
  text_put(json, "{\"inputs\": ");
  put_tensors(json, &engine.inputs, false);
  text_put(json, ", \"outputs\": ");
  put_tensors(json, &engine.outputs, false);
  text_put(json, "}");
}

/* Whether an element with all bits of its exponent set (NaN or infinity) is among `count` bytes. */
static bool all_finite(const void *raw, size_t count, const char *dtype) {
  size_t width = !strcmp(dtype, "float16") ? 2 : !strcmp(dtype, "float32") ? 4 : !strcmp(dtype, "float64") ? 8 : 0;
  for (size_t at = 0; width && at + width <= count; at += width) {
    uint64_t bits = 0, exponent = width == 2 ? 0x7C00 : width == 4 ? 0x7F800000 : 0x7FF0000000000000;
    memcpy(&bits, (const char *)raw + at, width); /* all these machines are little-endian */
    if ((bits & exponent) == exponent) return false;
  }
  return true;
}

/* Runs one sample; appends its outputs as a list of base64 texts and adds them to a hash, where these are given. */
static bool read_outputs(Samples *samples, size_t index, Text *json, Sha256 *hash) {
  Engine *engine = samples->engine;
  bool finite = true;
  put_sample(samples, index);
  engine_run(engine);
  if (json) text_put(json, "[");
  for (size_t i = 0; i < engine->outputs.count; i++) {
    const Tensor *tensor = &engine->outputs.tensors[i];
    void *raw = engine_lock(engine, engine->outputs.buffers[i], false);
    finite = all_finite(raw, tensor->bytes, tensor->dtype) && finite;
    if (hash) sha256_add(hash, raw, tensor->bytes);
    if (json) {
      text_put(json, i ? ", \"" : "\"");
      text_base64(json, raw, tensor->bytes);
      text_put(json, "\"");
    }
    engine_unlock(engine, engine->outputs.buffers[i]);
  }
  if (json) text_put(json, "]");
  return finite;
}

static bool put_outputs(Text *json, Samples *samples, const Json *request, int num_threads) {
  bool rebuild = truth_or(request, "rebuild", true), finite = true;
  text_put(json, "\"outputs\": [");
  for (size_t index = 0; index < samples->count; index++) {
    if (rebuild) engine_rebuild(samples->engine, num_threads); /* fused LSTM ops keep their state between runs */
    if (index) text_put(json, ", ");
    finite = read_outputs(samples, index, json, NULL) && finite;
  }
  text_put(json, "], ");
  return finite;
}

/* Appends the part of a trial that times the model. */
static void put_latency(Text *json, Samples *samples, const Bounds *bounds, int num_threads, int64_t calibration) {
  static WarmUp series;
  warm_up(&series, samples, bounds);
  measure(json, samples, bounds, series.typical, num_threads);
  text_put(json, "\"warmup_ns\": ");
  text_numbers(json, series.series, series.kept);
  text_put(json, ", \"steady\": %s, \"calibration_ns\": [%lld, %lld], ", series.steady ? "true" : "false",
           (long long)calibration, (long long)calibrate());
}

static int64_t phase_end(Memory *memory, const char *name, int64_t begin) {
  int64_t spent = now() - begin;
  end_phase(memory, name);
  return spent;
}

/* Opens, loads and builds, phase by phase, and appends what each took. */
static void put_start(Text *json, Engine *engine, Memory *memory, const Json *request, int num_threads) {
  const char *model = want_string(request, "model");
  reset_peak(memory);
  end_phase(memory, "start");
  int64_t begin = now();
  engine_open(engine);
  int64_t library = phase_end(memory, "library", begin);
  begin = now();
  engine_load(engine, model);
  int64_t load = phase_end(memory, "model", begin);
  begin = now();
  engine_build(engine, num_threads);
  int64_t init = phase_end(memory, "init", begin);
  text_put(json, "\"library_ns\": %lld, \"load_ns\": %lld, \"init_ns\": %lld, ", (long long)library, (long long)load,
           (long long)init);
}

void put_trial(Text *json, const Json *request) {
  const char *mode = want_string(request, "mode"), *digest;
  bool timed = !strcmp(mode, "latency"), followed = !strcmp(mode, "memory"), cold = !strcmp(mode, "cold");
  bool finite = true;
  int num_threads = (int)want_whole(request, "num_threads", -1, MOST_THREADS);
  Bounds bounds = {0};
  if (timed) bounds = warm_up_bounds(request);
  if (timed || followed) add_run_bounds(&bounds, request);
  if (timed) start_sampler(request, num_threads);
  if (followed) {
    /* How large the pieces are that the kernel maps of a file depends on how it came into the page cache: up to a third
     * of what is resident of a library. So it comes there always the same way. */
    forget_pages(want_string(request, "model"));
    forget_pages(string_or(request, "library", ""));
  }
  prepare(request, &digest);
  int64_t calibration = timed ? calibrate() : 0;
  Text before = {NULL, 0, 0};
  put_conditions(&before);
  Engine engine = engine_of(request);
  Memory memory = {0};
  ColdStart from_storage = {0};
  /* as the last thing before the start, so that nothing of ours brings pages back */
  if (cold) from_storage = start_cold(want_string(request, "model"), &engine);
  text_put(json, "{\"mode\": \"%s\", \"pid\": %d, ", mode, getpid());
  put_start(json, &engine, &memory, request, num_threads);
  Samples samples = open_samples(&engine, request, timed);
  put_next_sample(&samples);
  reset_peak(&memory);
  int64_t begin = now();
  engine_run(&engine);
  text_put(json, "\"first_ns\": %lld, ", (long long)phase_end(&memory, "first", begin));
  if (cold) put_cold(json, &from_storage);
  if (!timed) text_put(json, "\"calibration_ns\": [], ");
  if (timed)
    put_latency(json, &samples, &bounds, num_threads, calibration);
  else if (followed)
    text_put(json, "\"memory_runs\": %lld, ", (long long)repeat(&samples, &bounds));
  else if (!cold)
    finite = put_outputs(json, &samples, request, num_threads);
  end_phase(&memory, "steady");
  if (followed) put_proportional(json);
  Sha256 hash;
  Sha256Text output;
  sha256_begin(&hash);
  finite = read_outputs(&samples, 0, NULL, &hash) && finite;
  sha256_end(&hash, output);
  text_put(json, "\"samples_used\": %zu, \"num_threads\": %d, \"runtime\": ", samples.count, num_threads);
  put_runtime(json, &engine);
  text_put(json, ", \"model_sha256\": \"%s\", \"inputs\": ", digest);
  put_tensors(json, &engine.inputs, true);
  text_put(json, ", \"outputs_info\": ");
  put_tensors(json, &engine.outputs, true);
  text_put(json, ", \"memory\": ");
  put_phases(json, &memory);
  text_put(json, ", \"peak_resets\": %s, \"output_sha256\": \"%s\", \"finite\": %s, ",
           memory.no_resets ? "false" : "true", output, finite ? "true" : "false");
  put_circumstances(json, &before);
  text_put(json, ", \"extra\": {\"runner\": \"native\", \"compiler\": ");
  text_string(json, __VERSION__);
  text_put(json, "}}");
}
