/* A cold start: see cold.h. */
#include "cold.h"

#include "pages.h"
#include "sensors.h"

static void add_file(ColdStart *cold, const char *path) {
  int64_t bytes = *path ? file_bytes(path) : -1;
  if (bytes < 0) return;
  for (size_t i = 0; i < cold->count; i++)
    if (!strcmp(cold->files[i].path, path)) return;
  cold->files[cold->count++] = (ColdFile){path, bytes, 0};
}

static void look_for_pages(ColdStart *cold) {
  for (size_t i = 0; i < cold->count; i++) cold->files[i].left = cached_bytes(cold->files[i].path);
}

/* Whether all of a file is still there although it lies on storage. */
static bool has_stayed(const ColdFile *file) {
  return file->bytes && file->left == file->bytes && !memory_file_system(file->path);
}

static void read_counters(int64_t *major_faults, int64_t *read_bytes) {
  char text[1024] = "";
  struct rusage usage = {0};
  getrusage(RUSAGE_SELF, &usage);
  read_text("/proc/self/io", text, sizeof text);
  *major_faults = usage.major_faults;
  *read_bytes = number_after(text, "read_bytes:");
}

ColdStart start_cold(const char *model, const Engine *engine) {
  ColdStart cold = {0};
  bool stayed = false;
  add_file(&cold, model);
  add_file(&cold, engine->path);
  add_file(&cold, engine->weight_cache);
  for (size_t i = 0; i < cold.count; i++) forget_pages(cold.files[i].path);
  look_for_pages(&cold);
  for (size_t i = 0; i < cold.count; i++) stayed = stayed || has_stayed(&cold.files[i]);
  if (stayed && forget_everything()) cold.everything = true;
  if (stayed) look_for_pages(&cold);
  read_counters(&cold.major_faults, &cold.read_bytes);
  return cold;
}

/* What of a file must be taken to be in memory. */
static int64_t left_of(const ColdFile *file) { return file->left < 0 ? file->bytes : file->left; }

/* Appends why pages of this file are still in memory. */
static void put_reason(Text *json, const ColdFile *file) {
  const char *slash = strrchr(file->path, '/'), *name = slash ? slash + 1 : file->path;
  const char *system = memory_file_system(file->path);
  Text reason = {NULL, 0, 0};
  if (system)
    text_put(&reason, "%s lies on a file system in memory (%s), which keeps its pages", name, system);
  else if (file->left < 0)
    text_put(&reason, "the kernel does not tell whether the pages of %s are gone", name);
  else if (!pages_are_told(file->path))
    text_put(&reason, "%s belongs to somebody else: the kernel does not tell whether its pages are gone", name);
  else
    text_put(&reason, "the kernel keeps pages of %s: another process may use it", name);
  text_string(json, reason.data);
  free(reason.data);
}

void put_cold(Text *json, const ColdStart *cold) {
  int64_t major_faults, read_bytes, bytes = 0, left = 0;
  const ColdFile *most = NULL;
  read_counters(&major_faults, &read_bytes);
  for (size_t i = 0; i < cold->count; i++) {
    const ColdFile *file = &cold->files[i];
    bytes += file->bytes;
    left += left_of(file);
    if (left_of(file) > (most ? left_of(most) : 0)) most = file;
  }
  text_put(json, "\"cold\": {\"dropped\": \"%s\", \"reason\": ",
           !left ? "yes" : left >= bytes - bytes / 10 ? "no" : "partly");
  if (most)
    put_reason(json, most);
  else
    text_put(json, "\"\"");
  text_put(json, ", \"files\": %zu, \"bytes\": %lld, \"left_bytes\": %lld, \"everything\": %s, \"major_faults\": %lld",
           cold->count, (long long)bytes, (long long)left, cold->everything ? "true" : "false",
           (long long)(major_faults - cold->major_faults));
  text_put(json, ", \"read_bytes\": ");
  put_number(json, read_bytes < 0 || cold->read_bytes < 0 ? UNKNOWN : read_bytes - cold->read_bytes);
  text_put(json, "}, ");
}
