/* The loops: see measure.h. */
#include "measure.h"

#include "process.h"
#include "sampler.h"
#include "sensors.h"

static const int64_t QUICK_NS = 100000;     /* a run below this is timed in batches ... */
static const int64_t BATCH_NS = 200000;     /* ... of about this length, so that the clock's cost stays below 1 % */
static const int64_t PACE_NS = 50000000;    /* after so long the pace is taken again */
static const int64_t MOST_RUNS = 1000000000000;

static int64_t nanoseconds(const Json *request, const char *key) { return (int64_t)(want_seconds(request, key) * 1e9); }

Bounds warm_up_bounds(const Json *request) {
  Bounds bounds = {0};
  bounds.warmup_runs = want_whole(request, "warmup_runs", 0, MOST_RUNS);
  bounds.warmup_ns = nanoseconds(request, "warmup_s");
  bounds.warmup_max_ns = nanoseconds(request, "warmup_max_s");
  if (bounds.warmup_max_ns < bounds.warmup_ns) bounds.warmup_max_ns = bounds.warmup_ns;
  return bounds;
}

void add_run_bounds(Bounds *bounds, const Json *request) {
  bounds->min_runs = want_whole(request, "min_runs", 0, MOST_RUNS);
  bounds->min_ns = nanoseconds(request, "min_s");
  bounds->max_ns = nanoseconds(request, "max_s");
}

bool enough(const Bounds *bounds, int64_t count, int64_t elapsed) {
  return (count >= bounds->min_runs && elapsed >= bounds->min_ns) || elapsed >= bounds->max_ns;
}

int64_t calibrate(void) {
  int64_t best = 0;
  for (int round = 0; round < 5; round++) {
    int64_t start = now();
    uint32_t value = 1;
    for (int i = 0; i < 200000; i++) {
      value = value * 69069 + 1;
      __asm__ volatile("" : "+r"(value)); /* so that no compiler sees through it */
    }
    int64_t spent = now() - start;
    if (!best || spent < best) best = spent;
  }
  return best;
}

/* Nanoseconds of a smaller piece of fixed work. It keeps the ways to the first cache busy: that is what a neighbour on
 * the other half of a core takes away first, and what a chain of sums would not feel. */
static int64_t pace(void) {
  static uint32_t table[1024];
  int64_t best = 0;
  for (int round = 0; round < 3; round++) {
    int64_t start = now();
    uint32_t a = 0, b = 0, c = 0, d = 0;
    for (uint32_t i = 0; i < 4000; i++) {
      a += table[i & 1023];
      b ^= table[(i + 511) & 1023];
      c += table[(i * 7) & 1023];
      d ^= table[(i * 3 + 5) & 1023];
      table[(i + 64) & 1023] = a + b;
      table[(i + 700) & 1023] = c ^ d;
      __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d) : : "memory");
    }
    int64_t spent = now() - start;
    if (!best || spent < best) best = spent;
  }
  return best;
}

/* The pace over the measured runs: what the fixed work took, and how many entries there were then. */
typedef struct {
  int64_t *spent, *at;
  size_t count, room;
  int64_t next;
} Paces;

static void add_pace(Paces *paces, size_t entries) {
  if (paces->count == paces->room) {
    paces->room = paces->room * 2 + 256;
    paces->spent = need(realloc(paces->spent, paces->room * sizeof *paces->spent));
    paces->at = need(realloc(paces->at, paces->room * sizeof *paces->at));
  }
  paces->at[paces->count] = (int64_t)entries;
  paces->spent[paces->count++] = pace();
  paces->next = now() + PACE_NS;
}

static void put_paces(Text *json, const Paces *paces) {
  text_put(json, "\"pace_ns\": ");
  text_numbers(json, paces->spent, paces->count);
  text_put(json, ", \"pace_at\": ");
  text_numbers(json, paces->at, paces->count);
  text_put(json, ", ");
}

/* The median of up to ten values (the upper one of two). */
static int64_t middle(const int64_t *values, size_t count) {
  int64_t sorted[10] = {0};
  for (size_t i = 0; i < count; i++) {
    size_t place = i;
    for (; place && sorted[place - 1] > values[i]; place--) sorted[place] = sorted[place - 1];
    sorted[place] = values[i];
  }
  return sorted[count / 2];
}

void warm_up(WarmUp *result, Samples *samples, const Bounds *bounds) {
  int64_t recent[10] = {0}, begin = now(), count = 0;
  for (;;) {
    put_next_sample(samples);
    int64_t spent = engine_run(samples->engine);
    recent[count % 10] = spent;
    if (count < WARMUP_KEPT) result->series[count] = spent;
    count++;
    int64_t elapsed = now() - begin;
    if (count < bounds->warmup_runs || elapsed < bounds->warmup_ns) continue;
    result->steady = true;
    if (count >= 10) {
      int64_t ordered[10];
      for (int64_t i = 0; i < 10; i++) ordered[i] = recent[(count + i) % 10];
      result->steady = (double)middle(ordered + 5, 5) >= 0.95 * (double)middle(ordered, 5);
    }
    if (result->steady || elapsed >= bounds->warmup_max_ns) break;
  }
  result->kept = (size_t)(count < WARMUP_KEPT ? count : WARMUP_KEPT);
  result->typical = middle(recent, (size_t)(count < 10 ? count : 10));
}

static int64_t batch_of(int64_t typical) {
  if (typical >= QUICK_NS) return 1;
  int64_t batch = BATCH_NS / (typical > 1 ? typical : 1);
  return batch < 2 ? 2 : batch > 1000 ? 1000 : batch;
}

typedef struct {
  int64_t (*spent)(void); /* of this thread where it alone runs the model, else of the process */
  int64_t cost;           /* what an entry's CPU time holds besides the model: reading the clocks */
  int64_t step;           /* by which it goes forward at a time; old kernels count in ticks of the scheduler */
} CpuClock;

static CpuClock cpu_clock(int num_threads) {
  CpuClock clock = {num_threads == 1 ? thread_time : cpu_time, 0, 0};
  int64_t costs[9];
  for (int i = 0; i < 9; i++) {
    int64_t before = clock.spent();
    now();
    now();
    costs[i] = clock.spent() - before;
  }
  clock.cost = middle(costs, 9);
  for (int i = 0; i < 3; i++) {
    int64_t before = clock.spent(), after = before;
    while (after == before) after = clock.spent();
    if (!clock.step || after - before < clock.step) clock.step = after - before;
  }
  return clock;
}

/* Nanoseconds of an entry: one run, or a batch of them divided by their number. CPU time is read outside the timed
 * region, so that the system call does not lengthen the entry. */
static int64_t time_entry(Engine *engine, int64_t batch, const CpuClock *clock, int64_t *cpu, int64_t *stop) {
  Side *in = &engine->inputs, *out = &engine->outputs;
  int status = 0;
  int64_t spent = clock->spent(), start = now();
  for (int64_t i = 0; i < batch; i++)
    status |= engine->run(engine->compiled, 0, in->count, in->buffers, out->count, out->buffers);
  *stop = now();
  spent = clock->spent() - spent - clock->cost;
  *cpu = spent > 0 ? spent / batch : 0;
  check(status, "the model failed to run");
  int64_t entry = (*stop - start) / batch;
  return entry > 1 ? entry : 1;
}

static size_t first_room(const Bounds *bounds, int64_t entry_ns) {
  int64_t room = bounds->min_runs + 2 * bounds->min_ns / entry_ns + 1024;
  return room < (int64_t)(SIZE_MAX / 16) ? (size_t)room : SIZE_MAX / 16;
}

static void put_cpu_entries(Text *json, const int64_t *entries, size_t count, int64_t step, int64_t typical) {
  text_put(json, "\"cpu_latency_ns\": ");
  if (step * 20 <= typical) {
    text_numbers(json, entries, count);
    text_put(json, ", \"cpu_latency_missing\": \"\", ");
  } else {
    text_put(json, "null, \"cpu_latency_missing\": \"this kernel counts CPU time in steps of %lld us, which is too "
                   "coarse\", ", (long long)step / 1000);
  }
}

void measure(Text *json, Samples *samples, const Bounds *bounds, int64_t typical, int num_threads) {
  int64_t batch = batch_of(typical);
  size_t room = first_room(bounds, (typical > 1 ? typical : 1) * batch), count = 0;
  int64_t *entries = need(malloc(room * sizeof *entries)), *cpu_entries = need(malloc(room * sizeof *entries));
  CpuClock clock = cpu_clock(num_threads);
  Paces paces = {0};
  sampler_begin();
  add_pace(&paces, 0);
  struct rusage before = {0}, after = {0};
  int64_t pressure = pressure_us(), busy = busy_ns(), stop = 0, spent = 0, all = 0;
  getrusage(RUSAGE_SELF, &before);
  int64_t cpu = cpu_time(), begin = now();
  for (;;) {
    put_next_sample(samples);
    int64_t entry = time_entry(samples->engine, batch, &clock, &spent, &stop);
    if (count == room) {
      room += room / 2 + 1024;
      entries = need(realloc(entries, room * sizeof *entries));
      cpu_entries = need(realloc(cpu_entries, room * sizeof *entries));
    }
    cpu_entries[count] = spent;
    entries[count++] = entry;
    all += entry;
    if (enough(bounds, (int64_t)count, stop - begin)) break;
    if (stop >= paces.next) add_pace(&paces, count);
    glance_between_runs(stop);
  }
  int64_t wall = now() - begin;
  cpu = cpu_time() - cpu;
  getrusage(RUSAGE_SELF, &after);
  int64_t waited = pressure_us(), worked = busy_ns();
  add_pace(&paces, count);
  text_put(json, "\"latency_ns\": ");
  text_numbers(json, entries, count);
  text_put(json, ", \"batch\": %lld, \"call_ns\": 0, \"cpu_ns\": %lld, \"wall_ns\": %lld, ", (long long)batch,
           (long long)cpu, (long long)wall);
  put_cpu_entries(json, cpu_entries, count, clock.step, all / (int64_t)count * batch);
  text_put(json, "\"busy_ns\": ");
  put_number(json, busy == UNKNOWN || worked == UNKNOWN ? UNKNOWN : worked - busy);
  text_put(json, ", \"involuntary_switches\": %ld, \"voluntary_switches\": %ld, \"major_faults\": %ld, ",
           after.involuntary_switches - before.involuntary_switches,
           after.voluntary_switches - before.voluntary_switches, after.major_faults - before.major_faults);
  if (pressure < 0 || waited < 0)
    text_put(json, "\"pressure_us\": null, ");
  else
    text_put(json, "\"pressure_us\": %lld, ", (long long)(waited - pressure));
  put_paces(json, &paces);
  text_put(json, "\"during\": ");
  put_during(json);
  text_put(json, ", ");
}

int64_t repeat(Samples *samples, const Bounds *bounds) {
  int64_t begin = now(), count = 0;
  do {
    put_next_sample(samples);
    engine_run(samples->engine);
    count++;
  } while (!enough(bounds, count, now() - begin));
  return count;
}
