/* The state of the board: see sensors.h. */
#include "sensors.h"

#include "firmware.h"

static bool is_space(char character) {
  return character == ' ' || (character >= '\t' && character <= '\r');
}

bool read_text(const char *path, char *text, size_t room) {
  int file = open64(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  long count = read(file, text, room - 1);
  close(file);
  if (count < 0) return false; /* a sensor without a reading */
  while (count && is_space(text[count - 1])) count--;
  text[count] = 0;
  size_t begin = 0;
  while (is_space(text[begin])) begin++;
  for (size_t i = 0; (text[i] = text[begin + i]); i++) {
  }
  return true;
}

static bool read_number(const char *path, int base, int64_t *number) {
  char text[64];
  return read_text(path, text, sizeof text) && parse_number(text, base, number);
}

int64_t number_after(const char *text, const char *key) {
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (!strncmp(line, key, strlen(key))) return strtoll(line + strlen(key), NULL, 10);
  }
  return -1;
}

/* Calls `visit` with the name of every entry of a folder; none where it cannot be read. */
static void list_folder(const char *path, void (*visit)(const char *name, void *context), void *context) {
  struct Entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
  };
  _Alignas(8) char entries[4096];
  int folder = open64(path, O_RDONLY | O_CLOEXEC);
  if (folder < 0) return;
  long count;
  while ((count = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0)
    for (long at = 0; at < count; at += ((struct Entry *)(void *)(entries + at))->length)
      visit(((struct Entry *)(void *)(entries + at))->name, context);
  close(folder);
}

typedef struct {
  bool known;
  int64_t value;
} Highest;

static void visit_zone(const char *name, void *context) {
  Highest *hottest = context;
  char path[320];
  int64_t reading;
  if (strncmp(name, "thermal_zone", 12)) return;
  snprintf(path, sizeof path, "/sys/class/thermal/%s/temp", name);
  if (!read_number(path, 10, &reading)) return;
  if (!hottest->known || reading > hottest->value) hottest->value = reading;
  hottest->known = true;
}

/* Thousandths of a degree Celsius of the hottest thermal zone. */
static Highest temperature(void) {
  Highest hottest = {false, 0};
  list_folder("/sys/class/thermal", visit_zone, &hottest);
  return hottest;
}

static void visit_core(const char *name, void *context) {
  Highest *last = context;
  int64_t core;
  if (strncmp(name, "cpu", 3) || name[3] < '0' || name[3] > '9' || !parse_number(name + 3, 10, &core)) return;
  if (core < 4096 && (!last->known || core > last->value)) *last = (Highest){true, core};
}

/* Hz of each core that has cpufreq, in the order of the cores; returns how many there are. */
static size_t frequencies(int64_t *values, size_t room) {
  Highest last = {false, -1};
  size_t count = 0;
  list_folder("/sys/devices/system/cpu", visit_core, &last);
  for (int64_t core = 0; core <= last.value && count < room; core++) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/cpufreq/scaling_cur_freq", (long long)core);
    if (read_number(path, 10, &values[count])) values[count++] *= 1000;
  }
  return count;
}

/* The Raspberry Pi's throttle bits as its kernel driver shows them. */
static bool throttle_bits(int64_t *bits) {
  return read_number("/sys/devices/platform/soc/soc:firmware/get_throttled", 16, bits);
}

static void put_number(Text *json, bool known, int64_t value) {
  if (known)
    text_put(json, "%lld", (long long)value);
  else
    text_put(json, "null");
}

static void put_degrees(Text *json, bool known, int64_t thousandths) {
  int64_t size = thousandths < 0 ? -thousandths : thousandths;
  if (known)
    text_put(json, "%s%lld.%03lld", thousandths < 0 ? "-" : "", (long long)(size / 1000), (long long)(size % 1000));
  else
    text_put(json, "null");
}

void put_conditions(Text *json) {
  char text[8192];
  int64_t clocks[256], bits = 0, clock = 0, available = -1;
  Highest hottest = temperature();
  size_t count = frequencies(clocks, sizeof clocks / sizeof *clocks);
  bool has_bits = throttle_bits(&bits);
  bool has_clock = ask_firmware("measure_clock", "arm", 10, &clock);
  if (!has_bits) has_bits = ask_firmware("get_throttled", NULL, 16, &bits);
  text_put(json, "{\"temperature_c\": ");
  put_degrees(json, hottest.known, hottest.value);
  text_put(json, ", \"frequency_hz\": ");
  text_numbers(json, clocks, count);
  text_put(json, ", \"clock_hz\": ");
  put_number(json, has_clock, clock);
  bool known = read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", text, sizeof text);
  text_put(json, ", \"governor\": ");
  text_string(json, known ? text : NULL);
  text_put(json, ", \"throttle_bits\": ");
  put_number(json, has_bits, bits);
  known = read_text("/proc/loadavg", text, sizeof text) && *text >= '0' && *text <= '9';
  text_put(json, known ? ", \"load_1min\": %.2f" : ", \"load_1min\": null", strtod(text, NULL));
  if (read_text("/proc/meminfo", text, sizeof text)) available = number_after(text, "MemAvailable:");
  text_put(json, ", \"memory_available_bytes\": ");
  put_number(json, available >= 0, available * 1024);
  known = read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
  text_put(json, ", \"boot_id\": ");
  text_string(json, known ? text : NULL);
  text_put(json, "}");
}

void glance(Glances *glances) {
  int64_t bits, clocks[256];
  glances->count++;
  if (throttle_bits(&bits)) {
    glances->bits |= bits;
    glances->has_bits = true;
  }
  Highest heat = temperature();
  if (heat.known && (!glances->has_heat || heat.value > glances->hottest)) glances->hottest = heat.value;
  glances->has_heat = glances->has_heat || heat.known;
  size_t count = frequencies(clocks, sizeof clocks / sizeof *clocks);
  for (size_t i = 0; i < count; i++) {
    if (!glances->has_clock || clocks[i] < glances->slowest) glances->slowest = clocks[i];
    if (!glances->has_clock || clocks[i] > glances->fastest) glances->fastest = clocks[i];
    glances->has_clock = true;
  }
}

void put_glances(Text *json, const Glances *glances) {
  text_put(json, "{\"glances\": %d, \"throttle_bits\": ", glances->count);
  put_number(json, glances->has_bits, glances->bits);
  text_put(json, ", \"hottest_c\": ");
  put_degrees(json, glances->has_heat, glances->hottest);
  text_put(json, ", \"slowest_hz\": ");
  put_number(json, glances->has_clock, glances->slowest);
  text_put(json, ", \"fastest_hz\": ");
  put_number(json, glances->has_clock, glances->fastest);
  text_put(json, "}");
}

int64_t pressure_us(void) {
  char text[512];
  if (!read_text("/proc/pressure/cpu", text, sizeof text)) return -1;
  const char *total = strstr(text, "total="); /* the first line is that of "some" */
  return total ? strtoll(total + 6, NULL, 10) : -1;
}
