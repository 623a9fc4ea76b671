/* The state of the board: see sensors.h. */
#include "sensors.h"

#include "process.h"
#include "programs.h"

typedef struct {
  const char **arguments;
  const char *file, *zone;
  double scale;
} Sensor;

static Sensor temperature_sensor, clock_sensor, throttle_sensor;

static void take_sensor(Sensor *sensor, const Json *sensors, const char *kind) {
  const Json *given = json_member(sensors, kind), *scale = given ? json_member(given, "scale") : NULL;
  if (!given) return;
  const Json *words = json_member(given, "argv");
  bool fits = given->kind == JSON_OBJECT && (!words || words->kind == JSON_LIST) &&
              (!scale || scale->kind == JSON_NUMBER);
  for (const Json *word = fits && words ? words->first : NULL; word; word = word->next)
    fits = fits && word->kind == JSON_STRING;
  if (!fits) fail("request", "the sensor %s in the request is not one", kind);
  size_t count = words ? json_count(words) : 0;
  if (count) {
    sensor->arguments = need(calloc(count + 1, sizeof *sensor->arguments));
    const Json *word = words->first;
    for (size_t i = 0; i < count; i++, word = word->next) sensor->arguments[i] = word->string;
  }
  sensor->file = json_member(given, "file") ? want_string(given, "file") : NULL;
  sensor->zone = json_member(given, "zone") ? want_string(given, "zone") : NULL;
  sensor->scale = scale ? scale->number : 1.0;
}

void take_sensors(const Json *request) {
  const Json *sensors = json_member(request, "sensors");
  if (!sensors) return;
  if (sensors->kind != JSON_OBJECT) fail("request", "sensors in the request is not an object");
  take_sensor(&temperature_sensor, sensors, "temperature");
  take_sensor(&clock_sensor, sensors, "clock");
  take_sensor(&throttle_sensor, sensors, "throttled");
}

/* ------------------------------------------------------------------------------------------------- texts to numbers */

/* Whether a text of at most `most` characters has only these; an empty one has not. */
static bool consists_of(const char *text, const char *characters, size_t most) {
  size_t count = 0;
  for (; text[count]; count++)
    if (count >= most || !strchr(characters, text[count])) return false;
  return count > 0;
}

static const char *without(const char *text, const char *prefix) {
  return strncmp(text, prefix, strlen(prefix)) ? text : text + strlen(prefix);
}

/* `temp=48.2'C`, or a number that `scale` turns into degrees; in thousandths. */
static int64_t celsius(char *text, double scale) {
  size_t length = strlen(text);
  if (length >= 2 && !strcmp(text + length - 2, "'C")) text[length - 2] = 0;
  const char *plain = without(text, "temp=");
  if (!consists_of(plain, "-.0123456789", 20)) return UNKNOWN;
  char *end;
  double value = strtod(plain, &end) * scale;
  if (end == plain || *end || !(value >= -60 && value <= 200)) return UNKNOWN; /* silicon survives no more */
  return (int64_t)(value * 1000 + (value < 0 ? -0.5 : 0.5));
}

/* `frequency(48)=1500345728`, or a number that `scale` turns into Hz. */
static int64_t hertz(const char *text, double scale) {
  const char *equals = strchr(text, '=');
  if (equals && equals > text && !strncmp(text, "frequency(", 10) && equals[-1] == ')') text = equals + 1;
  if (!consists_of(text, "0123456789", 15)) return UNKNOWN;
  double value = strtod(text, NULL) * scale + 0.5;
  return value >= 1 && value < 1e18 ? (int64_t)value : UNKNOWN;
}

/* `throttled=0x50000`, `0x50000` or `50000`; always hexadecimal. */
static int64_t bits_of(const char *text) {
  text = without(without(text, "throttled="), "0x");
  return consists_of(text, "0123456789abcdefABCDEF", 8) ? strtoll(text, NULL, 16) : UNKNOWN;
}

/* ------------------------------------------------------------------------------------------------------------ files */

bool read_text(const char *path, char *text, size_t room) {
  int file = open64(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not be waited for */
  long length = 0, count = 0;
  *text = 0;
  if (file < 0) return false;
  do { /* the kernel gives its longer lists page by page */
    count = read(file, text + length, room - 1 - (size_t)length);
    if (count > 0) length += count;
  } while (count > 0);
  close(file);
  text[length] = 0;
  trim(text);
  return count >= 0; /* else a sensor without a reading */
}

static int64_t read_number(const char *path) {
  char text[64], *end;
  if (!read_text(path, text, sizeof text)) return UNKNOWN;
  int64_t value = strtoll(text, &end, 10);
  return end == text || *end ? UNKNOWN : value;
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
    uint64_t number;
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
  const char *kind; /* NULL: of every type */
  int64_t hottest;
} Zones;

static void visit_zone(const char *name, void *context) {
  Zones *zones = context;
  char path[320], text[128];
  if (strncmp(name, "thermal_zone", 12)) return;
  snprintf(path, sizeof path, "/sys/class/thermal/%s/type", name);
  if (zones->kind && (!read_text(path, text, sizeof text) || strcmp(text, zones->kind))) return;
  snprintf(path, sizeof path, "/sys/class/thermal/%s/temp", name);
  if (!read_text(path, text, sizeof text)) return;
  int64_t reading = celsius(text, 0.001);
  if (reading > zones->hottest) zones->hottest = reading;
}

/* The hottest thermal zone, of those of one type. */
static int64_t zone_temperature(const char *kind) {
  Zones zones = {kind, UNKNOWN};
  list_folder("/sys/class/thermal", visit_zone, &zones);
  return zones.hottest;
}

static void visit_core(const char *name, void *context) {
  int64_t *last = context;
  char *end;
  if (strncmp(name, "cpu", 3) || name[3] < '0' || name[3] > '9') return;
  int64_t core = strtoll(name + 3, &end, 10);
  if (!*end && core < 4096 && core > *last) *last = core;
}

int64_t last_core(void) {
  int64_t last = -1;
  list_folder("/sys/devices/system/cpu", visit_core, &last);
  return last;
}

int64_t core_frequency(int64_t core, const char *file) {
  char path[128];
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/cpufreq/%s", (long long)core, file);
  int64_t value = read_number(path);
  return value < 0 || value > INT64_MAX / 1000 ? UNKNOWN : value * 1000;
}

int64_t core_of(const char *process) {
  char path[64], text[2048];
  snprintf(path, sizeof path, "/proc/%s/stat", process);
  if (!read_text(path, text, sizeof text)) return UNKNOWN;
  const char *at = strrchr(text, ')'); /* a program's name may hold anything; the core is the 37th word after it */
  for (int word = 0; at && word < 37; word++) at = strchr(at + 1, ' ');
  return at ? strtoll(at + 1, NULL, 10) : UNKNOWN;
}

/* ---------------------------------------------------------------------------------------------------------- sensors */

/* What a named sensor's file or program says. */
static bool named_text(const Sensor *sensor, bool programs, char *text, size_t room) {
  if (sensor->file) return read_text(sensor->file, text, room);
  return programs && sensor->arguments && ask(sensor->arguments, text, room);
}

static bool ask_firmware(const char *word, const char *argument, char *text, size_t room) {
  const char *const arguments[] = {"vcgencmd", word, argument, NULL};
  return ask(arguments, text, room);
}

int64_t read_temperature(bool programs) {
  char text[128];
  int64_t value = UNKNOWN;
  if (temperature_sensor.zone)
    value = zone_temperature(temperature_sensor.zone);
  else if (named_text(&temperature_sensor, programs, text, sizeof text))
    value = celsius(text, temperature_sensor.scale);
  return value == UNKNOWN ? zone_temperature(NULL) : value;
}

int64_t read_clock(bool programs) {
  char text[128];
  int64_t value = UNKNOWN;
  if (named_text(&clock_sensor, programs, text, sizeof text)) value = hertz(text, clock_sensor.scale);
  if (value == UNKNOWN && programs && ask_firmware("measure_clock", "arm", text, sizeof text)) value = hertz(text, 1);
  return value;
}

int64_t read_throttle_bits(bool programs) {
  char text[128];
  int64_t bits = UNKNOWN;
  if (named_text(&throttle_sensor, programs, text, sizeof text)) bits = bits_of(text);
  if (bits == UNKNOWN && read_text("/sys/devices/platform/soc/soc:firmware/get_throttled", text, sizeof text))
    bits = bits_of(text);
  if (bits == UNKNOWN && programs && ask_firmware("get_throttled", NULL, text, sizeof text)) bits = bits_of(text);
  return bits;
}

int64_t read_thermal_status(bool programs) {
  static const char *const arguments[] = {"dumpsys", "thermalservice", NULL};
  static char text[1 << 16];
  if (!programs || !ask(arguments, text, sizeof text)) return UNKNOWN;
  const char *found = strstr(text, "Thermal Status: ");
  if (found && (found == text || found[-1] == '\n') && found[16] >= '0' && found[16] <= '6' &&
      (!found[17] || found[17] == '\n' || found[17] == '\r'))
    return found[16] - '0';
  never_ask(arguments[0]); /* it may not tell us */
  return UNKNOWN;
}

void put_number(Text *json, int64_t value) {
  if (value == UNKNOWN)
    text_put(json, "null");
  else
    text_put(json, "%lld", (long long)value);
}

void put_degrees(Text *json, int64_t thousandths) {
  if (thousandths == UNKNOWN) { /* it has no positive twin */
    text_put(json, "null");
    return;
  }
  int64_t size = thousandths < 0 ? -thousandths : thousandths;
  text_put(json, "%s%lld.%03lld", thousandths < 0 ? "-" : "", (long long)(size / 1000), (long long)(size % 1000));
}

static void put_frequencies(Text *json, const char *key, const char *file) {
  int64_t values[256], last = last_core();
  size_t count = 0;
  for (int64_t core = 0; core <= last && count < sizeof values / sizeof *values; core++) {
    values[count] = core_frequency(core, file);
    if (values[count] != UNKNOWN) count++;
  }
  text_put(json, ", \"%s\": ", key);
  text_numbers(json, values, count);
}

static void put_memory(Text *json) {
  char text[8192];
  int64_t available = -1, whole = -1, left = -1, swapped_in = -1;
  if (read_text("/proc/meminfo", text, sizeof text)) {
    available = number_after(text, "MemAvailable:");
    whole = number_after(text, "SwapTotal:");
    left = number_after(text, "SwapFree:");
  }
  text_put(json, ", \"memory_available_bytes\": ");
  put_number(json, available < 0 ? UNKNOWN : available * 1024);
  text_put(json, ", \"swap_used_bytes\": ");
  put_number(json, whole < 0 || left < 0 ? UNKNOWN : (whole - left) * 1024);
  if (read_text("/proc/vmstat", text, sizeof text)) swapped_in = number_after(text, "pswpin ");
  text_put(json, ", \"swapped_in_pages\": ");
  put_number(json, swapped_in < 0 ? UNKNOWN : swapped_in);
}

static void put_load(Text *json) {
  char text[128];
  bool known = read_text("/proc/loadavg", text, sizeof text) && *text >= '0' && *text <= '9';
  text_put(json, known ? ", \"load_1min\": %.2f" : ", \"load_1min\": null", strtod(text, NULL));
  char *tasks = known ? strchr(text, '/') : NULL; /* "0.10 0.20 0.30 2/123 4567": we are one of the two */
  int64_t runnable = UNKNOWN;
  if (tasks) {
    *tasks = 0;
    const char *count = strrchr(text, ' ');
    runnable = count ? strtoll(count + 1, NULL, 10) - 1 : UNKNOWN;
    if (count && runnable < 0) runnable = 0;
  }
  text_put(json, ", \"runnable\": ");
  put_number(json, runnable);
  known = read_text("/proc/uptime", text, sizeof text) && *text >= '0' && *text <= '9';
  text_put(json, known ? ", \"uptime_s\": %.2f" : ", \"uptime_s\": null", strtod(text, NULL));
}

void put_conditions(Text *json) {
  char path[128], text[256];
  text_put(json, "{\"temperature_c\": ");
  put_degrees(json, read_temperature(true));
  put_frequencies(json, "frequency_hz", "scaling_cur_freq");
  text_put(json, ", \"clock_hz\": ");
  put_number(json, read_clock(true));
  int64_t cores[1] = {0};
  own_cores(cores, 1);
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%lld/cpufreq/scaling_governor", (long long)cores[0]);
  bool known = read_text(path, text, sizeof text);
  text_put(json, ", \"governor\": ");
  text_string(json, known ? text : NULL);
  text_put(json, ", \"throttle_bits\": ");
  put_number(json, read_throttle_bits(true));
  put_load(json);
  put_memory(json);
  known = read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
  text_put(json, ", \"boot_id\": ");
  text_string(json, known ? text : NULL);
  text_put(json, ", \"thermal_status\": ");
  put_number(json, read_thermal_status(true));
  put_frequencies(json, "min_frequency_hz", "scaling_min_freq");
  put_frequencies(json, "max_frequency_hz", "scaling_max_freq");
  text_put(json, ", \"wall_s\": %.6f, \"monotonic_s\": %.6f}", (double)wall_clock() / 1e9, (double)now() / 1e9);
}

int64_t pressure_us(void) {
  char text[512];
  if (!read_text("/proc/pressure/cpu", text, sizeof text)) return -1;
  const char *total = strstr(text, "total="); /* the first line is that of "some" */
  return total ? strtoll(total + 6, NULL, 10) : -1;
}

int64_t busy_ns(void) {
  static char text[1 << 16]; /* the lines of the cores come first */
  int64_t cores[MOST_CORES], total = 0, ticks = 0;
  size_t count = own_cores(cores, MOST_CORES);
  if (!read_text("/proc/stat", text, sizeof text)) return UNKNOWN;
  for (size_t i = 0; i < count; i++) {
    char key[32];
    snprintf(key, sizeof key, "\ncpu%lld ", (long long)cores[i]);
    char *at = strstr(text, key);
    if (!at) return UNKNOWN;
    at += strlen(key);
    for (int field = 0; field < 8; field++) { /* user nice system idle iowait irq softirq steal */
      ticks = strtoll(at, &at, 10);
      if (field != 3 && field != 4) total += ticks;
    }
  }
  return total * 10000000; /* 100 a second on every Linux, whatever its kernel counts in */
}
