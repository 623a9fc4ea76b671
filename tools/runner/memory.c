/* Memory by phase: see memory.h. */
#include "memory.h"

#include "sensors.h"

void reset_peak(Memory *memory) {
  int file = open64("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "5", 1) != 1) memory->no_resets = true;
  if (file >= 0) close(file);
}

void end_phase(Memory *memory, const char *name) {
  static char text[1 << 16]; /* the groups of the user come first, of which there may be many */
  Phase *phase = &memory->phases[memory->count++];
  read_text("/proc/self/status", text, sizeof text);
  *phase = (Phase){
      .name = name,
      .resident = number_after(text, "VmRSS:"),
      .peak = number_after(text, "VmHWM:"),
      .anonymous = number_after(text, "RssAnon:"),
      .file = number_after(text, "RssFile:"),
      .swap = number_after(text, "VmSwap:"),
  };
  reset_peak(memory);
}

static void put_bytes(Text *json, const char *key, int64_t kilobytes) {
  if (kilobytes < 0)
    text_put(json, ", \"%s\": null", key);
  else
    text_put(json, ", \"%s\": %lld", key, (long long)kilobytes * 1024);
}

void put_phases(Text *json, const Memory *memory) {
  text_put(json, "[");
  for (size_t i = 0; i < memory->count; i++) {
    const Phase *phase = &memory->phases[i];
    text_put(json, "%s{\"phase\": \"%s\"", i ? ", " : "", phase->name);
    put_bytes(json, "rss_bytes", phase->resident);
    put_bytes(json, "peak_rss_bytes", phase->peak);
    put_bytes(json, "anon_bytes", phase->anonymous);
    put_bytes(json, "file_bytes", phase->file);
    put_bytes(json, "swap_bytes", phase->swap);
    text_put(json, "}");
  }
  text_put(json, "]");
}

void put_proportional(Text *json) {
  char text[4096] = "";
  read_text("/proc/self/smaps_rollup", text, sizeof text);
  int64_t whole = number_after(text, "Pss:"), clean = number_after(text, "Private_Clean:"),
          dirty = number_after(text, "Private_Dirty:");
  if (whole < 0) return;
  text_put(json, "\"pss_bytes\": %lld, \"uss_bytes\": %lld, ", (long long)whole * 1024,
           (long long)((clean > 0 ? clean : 0) + (dirty > 0 ? dirty : 0)) * 1024);
}
