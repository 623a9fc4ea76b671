/* Follows the sensors over the measured loop: see sampler.h. */
#include "sampler.h"

#include "process.h"
#include "programs.h"
#include "sensors.h"

enum { GLANCE_MS = 800, LAST_WORDS_MS = 3000, READY_MS = 1000, MOST_READINGS = 600 };

typedef struct {
  int64_t at, heat, clock, bits, status, frequency;
} Reading;

static struct {
  Reading readings[MOST_READINGS];
  size_t kept, keep_every;
  int64_t count, bits, hottest, status, slowest_clock, fastest_clock, slowest_frequency, fastest_frequency;
} seen;

static struct {
  int pid, go, words; /* the process, the pipe that it ends with, the pipe that its record comes through */
  int64_t began, next;
} sampler;

static void keep_highest(int64_t *highest, int64_t value) { /* what is unknown is lowest of all */
  if (value > *highest) *highest = value;
}

static void keep_lowest(int64_t *lowest, int64_t value) {
  if (value != UNKNOWN && (*lowest == UNKNOWN || value < *lowest)) *lowest = value;
}

static void begin_looking(void) {
  seen.keep_every = 1;
  seen.bits = seen.hottest = seen.status = UNKNOWN;
  seen.slowest_clock = seen.fastest_clock = seen.slowest_frequency = seen.fastest_frequency = UNKNOWN;
}

static void look(const char *process, bool programs) {
  Reading reading = {.at = now(), .frequency = UNKNOWN};
  int64_t core = core_of(process);
  if (core != UNKNOWN) reading.frequency = core_frequency(core, "scaling_cur_freq");
  reading.bits = read_throttle_bits(programs);
  reading.clock = read_clock(programs);
  reading.heat = read_temperature(programs);
  reading.status = read_thermal_status(programs);
  if (reading.bits != UNKNOWN) seen.bits = seen.bits == UNKNOWN ? reading.bits : (seen.bits | reading.bits);
  keep_highest(&seen.hottest, reading.heat);
  keep_highest(&seen.status, reading.status);
  keep_highest(&seen.fastest_clock, reading.clock);
  keep_lowest(&seen.slowest_clock, reading.clock);
  keep_highest(&seen.fastest_frequency, reading.frequency);
  keep_lowest(&seen.slowest_frequency, reading.frequency);
  if (seen.count++ % (int64_t)seen.keep_every) return;
  if (seen.kept == MOST_READINGS) { /* a very long loop: every second one will do */
    for (size_t i = 0; i < MOST_READINGS / 2; i++) seen.readings[i] = seen.readings[2 * i];
    seen.kept = MOST_READINGS / 2;
    seen.keep_every *= 2;
  }
  seen.readings[seen.kept++] = reading;
}

/* The fields of protocol.During without its last ones. */
static void put_seen(Text *json, int64_t cpu) {
  bool real = seen.slowest_clock != UNKNOWN;
  text_put(json, "\"glances\": %lld, \"throttle_bits\": ", (long long)seen.count);
  put_number(json, seen.bits);
  text_put(json, ", \"hottest_c\": ");
  put_degrees(json, seen.hottest);
  text_put(json, ", \"slowest_hz\": ");
  put_number(json, real ? seen.slowest_clock : seen.slowest_frequency);
  text_put(json, ", \"fastest_hz\": ");
  put_number(json, real ? seen.fastest_clock : seen.fastest_frequency);
  text_put(json, ", \"thermal_status\": ");
  put_number(json, seen.status);
  text_put(json, ", \"cpu\": ");
  put_number(json, cpu);
  text_put(json, ", \"readings\": [");
  for (size_t i = 0; i < seen.kept; i++) {
    const Reading *reading = &seen.readings[i];
    text_put(json, "%s{\"at_ns\": %lld, \"temperature_c\": ", i ? ", " : "", (long long)reading->at);
    put_degrees(json, reading->heat);
    text_put(json, ", \"clock_hz\": ");
    put_number(json, reading->clock);
    text_put(json, ", \"throttle_bits\": ");
    put_number(json, reading->bits);
    text_put(json, ", \"thermal_status\": ");
    put_number(json, reading->status);
    text_put(json, ", \"frequency_hz\": ");
    put_number(json, reading->frequency);
    text_put(json, "}");
  }
  text_put(json, "]");
}

/* The sampler's own process. It ends when the other end of `go` is closed, which its parent's death does too; besides,
 * the kernel then ends it. */
static _Noreturn void follow(int parent, const int64_t *cores, size_t count, bool spare, int go, int words) {
  char process[16];
  prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0ul, 0ul, 0ul);
  programs_end_with_us();
  int nothing = open64("/dev/null", O_RDWR);
  for (int descriptor = 0; descriptor < 256; descriptor++) { /* the host waits until nobody holds its ends */
    if (descriptor < 3)
      dup2(nothing, descriptor);
    else if (descriptor != go && descriptor != words)
      close(descriptor);
  }
  if (!try_cores(cores, count) || getppid() != parent) _exit(0);
  int priority = 0;
  if (!spare) sched_setscheduler(0, SCHED_IDLE, &priority); /* it gives way to the model wherever they meet */
  char word = '\n';
  if (write(words, &word, 1) != 1 || read(go, &word, 1) != 1) _exit(0);
  snprintf(process, sizeof process, "%d", parent);
  begin_looking();
  struct pollfd end = {go, POLLIN, 0};
  int64_t due = now(), left;
  do {
    look(process, true);
    due += (int64_t)GLANCE_MS * 1000000;
    left = (due - now()) / 1000000;
    if (left < 50) { /* sensors that are slow must not be asked without a pause */
      due = now() + 50000000;
      left = 50;
    }
  } while (poll(&end, 1, (int)left) == 0);
  Text json = {NULL, 0, 0};
  put_seen(&json, core_of("self"));
  for (size_t done = 0; done < json.length;) {
    long part = write(words, json.data + done, json.length - done);
    if (part <= 0) _exit(0);
    done += (size_t)part;
  }
  _exit(0);
}

/* Cores for the sampler: none where the model needs them all. Where it is kept to some cores, the slowest other one.
 * Where it may use more cores than it has threads, all of these, for the scheduler to choose from. */
static size_t cores_beside(const Json *request, int num_threads, int64_t *cores, bool *spare) {
  const Json *list = want_list(request, "cpus");
  size_t here = own_cores(cores, MOST_CORES), measured = list->first ? json_count(list) : here;
  int64_t best = -1, least = 0;
  for (size_t i = 0; list->first && i < here; i++) {
    bool taken = false;
    for (const Json *core = list->first; core; core = core->next) taken = taken || core->whole == cores[i];
    int64_t most = core_frequency(cores[i], "cpuinfo_max_freq");
    if (taken || (best >= 0 && most >= least)) continue;
    best = cores[i];
    least = most;
  }
  *spare = best >= 0;
  if (*spare) cores[0] = best;
  return *spare ? 1 : (int64_t)measured > num_threads ? here : 0;
}

void start_sampler(const Json *request, int num_threads) {
  int64_t cores[MOST_CORES];
  int go[2], words[2], parent = getpid();
  bool spare;
  begin_looking();
  size_t count = cores_beside(request, num_threads, cores, &spare);
  if (!count || !truth_or(request, "sampler", true) || pipe(go)) return;
  if (pipe(words)) {
    close(go[0]);
    close(go[1]);
    return;
  }
  for (int i = 0; i < 2; i++) {
    keep_to_ourselves(go[i]);
    keep_to_ourselves(words[i]);
  }
  sampler.pid = fork();
  if (sampler.pid == 0) follow(parent, cores, count, spare, go[0], words[1]);
  close(go[0]);
  close(words[1]);
  sampler.go = go[1];
  sampler.words = words[0];
  if (sampler.pid < 0) sampler.pid = 0; /* no memory, or no more processes: the loop looks itself */
}

static void forget(void) {
  int status;
  kill(sampler.pid, SIGKILL);
  waitpid(sampler.pid, &status, 0);
  sampler.pid = 0;
}

void sampler_begin(void) {
  struct pollfd ready = {sampler.words, POLLIN, 0};
  char word = '\n';
  if (sampler.pid && (poll(&ready, 1, READY_MS) <= 0 || read(sampler.words, &word, 1) != 1)) forget();
  signal(SIGPIPE, (void (*)(int))1); /* it may be gone: then the write fails, and that is all */
  if (sampler.pid && write(sampler.go, &word, 1) != 1) forget();
  sampler.began = sampler.next = now();
}

void glance_between_runs(int64_t time) {
  if (sampler.pid || time < sampler.next) return;
  look("self", false);
  sampler.next = now() + (int64_t)GLANCE_MS * 1000000;
}

void put_during(Text *json) {
  text_put(json, "{");
  if (sampler.pid) {
    Text record = {NULL, 0, 0};
    struct pollfd words = {sampler.words, POLLIN, 0};
    bool whole = false;
    close(sampler.go);
    while (!whole && poll(&words, 1, LAST_WORDS_MS) > 0) {
      text_reserve(&record, 1 << 14);
      long count = read(sampler.words, record.data + record.length, record.room - record.length - 1);
      whole = count == 0;
      if (count > 0) record.length += (size_t)count;
      if (count < 0) break;
    }
    if (whole && record.length)
      text_append(json, record.data, record.length);
    else
      put_seen(json, UNKNOWN);
    free(record.data);
    forget();
  } else {
    put_seen(json, UNKNOWN);
  }
  text_put(json, ", \"began_ns\": %lld}", (long long)sampler.began);
}
