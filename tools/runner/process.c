/* The process: see process.h. */
#include "process.h"

enum { LONG_BITS = 8 * sizeof(long), LONGEST_REQUEST = 256 << 20, WATCHER_STACK = 1 << 20 };

static int answer_descriptor = 1;

/* Nothing that is opened later may take the place of a standard stream that this process was started without. */
static void fill_standard_streams(void) {
  int nothing;
  do nothing = open64("/dev/null", O_RDWR);
  while (nothing >= 0 && nothing < 3);
  if (nothing >= 0) close(nothing);
}

void take_standard_output(void) {
  fill_standard_streams();
  int copy = fcntl(1, F_DUPFD_CLOEXEC, 3);
  if (copy >= 0) answer_descriptor = copy;
  dup2(2, 1);
}

void take_signals(void) {
  static const uint64_t none[16]; /* as large as the larger of both C libraries' */
  signal(SIGCHLD, (void (*)(int))0); /* else no program's end could be waited for */
  sigprocmask(SIG_SETMASK, none, NULL); /* else no time limit would hold */
}

/* Whether a call has to be made again: it was interrupted, or its pipe is one that does not wait; then this waits. */
static bool again(int descriptor, short events) {
  struct pollfd pipe = {descriptor, events, 0};
  if (errno != EAGAIN) return errno == EINTR;
  poll(&pipe, 1, -1);
  return true;
}

char *read_request_line(void) {
  Text line = {NULL, 0, 0};
  for (;;) {
    text_reserve(&line, 1 << 16);
    long count = read(0, line.data + line.length, line.room - line.length - 1);
    if (count < 0 && again(0, POLLIN)) continue;
    size_t old = line.length;
    if (count > 0) line.length += (size_t)count;
    line.data[line.length] = 0;
    for (size_t i = old; i < line.length; i++) {
      if (line.data[i] == '\n') {
        line.data[i] = 0;
        return line.data;
      }
      if (line.data[i] == 0) line.data[i] = '\1'; /* a NUL is no more JSON than this, and does not end the text */
    }
    if (count <= 0) return line.data;
    if (line.length > LONGEST_REQUEST) return NULL;
  }
}

static void write_all(const char *data, size_t count) {
  while (count) {
    long written = write(answer_descriptor, data, count);
    if (written < 0 && again(answer_descriptor, POLLOUT)) continue;
    if (written <= 0) _exit(ABANDONED);
    data += written;
    count -= (size_t)written;
  }
}

static void write_framed(const char *data, size_t count) {
  static const char begin[] = "\n@@edgekit-answer-begin@@\n", end[] = "\n@@edgekit-answer-end@@\n";
  write_all(begin, sizeof begin - 1);
  write_all(data, count);
  write_all(end, sizeof end - 1);
}

void answer(const Text *json) {
  write_framed(json->data, json->length);
  _exit(0);
}

void fail(const char *code, const char *format, ...) {
  static bool failing;
  static char message[4096];
  if (failing) { /* no memory even for the error */
    static const char plain[] = "{\"error\": {\"code\": \"out-of-memory\", \"message\": \"no memory on the board\"}}";
    write_framed(plain, sizeof plain - 1);
    _exit(FAILED);
  }
  failing = true;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  Text json = {NULL, 0, 0};
  text_put(&json, "{\"error\": {\"code\": \"%s\", \"message\": ", code);
  text_string(&json, message);
  text_put(&json, "}}");
  write_framed(json.data, json.length);
  _exit(FAILED);
}

static void *watch(void *nothing) {
  struct pollfd output = {answer_descriptor, 0, 0}; /* errors and hang-ups are always reported */
  while (poll(&output, 1, -1) <= 0) {
  }
  _exit(ABANDONED);
  return nothing;
}

void end_with_the_host(void) {
  union { /* larger than either C library's */
    long alignment;
    char bytes[128];
  } attributes;
  unsigned long thread;
  prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0ul, 0ul, 0ul);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, WATCHER_STACK);
  if (pthread_create(&thread, &attributes, watch, NULL))
    fail("out-of-memory", "the runner cannot start a thread on the board");
}

void limit_time(double seconds) {
  if (seconds <= 0) return;
  struct itimerval limit = {{0, 0}, {(long)seconds, (long)((seconds - (double)(long)seconds) * 1e6)}};
  if (limit.it_value.tv_sec == 0 && limit.it_value.tv_usec == 0) limit.it_value.tv_usec = 1;
  signal(SIGALRM, (void (*)(int))0);
  setitimer(ITIMER_REAL, &limit, NULL);
}

bool try_cores(const int64_t *cores, size_t count) {
  unsigned long mask[MOST_CORES / LONG_BITS] = {0};
  for (size_t i = 0; i < count; i++) {
    if (cores[i] < 0 || cores[i] >= MOST_CORES) {
      errno = 22;
      return false;
    }
    mask[(size_t)cores[i] / LONG_BITS] |= 1ul << (size_t)cores[i] % LONG_BITS;
  }
  return sched_setaffinity(0, sizeof mask, mask) == 0;
}

void set_cores(const int64_t *cores, size_t count) {
  if (count == 0 || try_cores(cores, count)) return;
  int number = errno;
  Text list = {NULL, 0, 0};
  text_numbers(&list, cores, count);
  fail("cpus", "cannot run on the cores %s: [Errno %d] %s", list.data, number, strerror(number));
}

size_t own_cores(int64_t *cores, size_t room) {
  unsigned long mask[MOST_CORES / LONG_BITS] = {0};
  size_t count = 0;
  if (sched_getaffinity(0, sizeof mask, mask) >= 0)
    for (size_t core = 0; core < MOST_CORES && count < room; core++)
      if (mask[core / LONG_BITS] >> core % LONG_BITS & 1) cores[count++] = (int64_t)core;
  return count;
}

void put_cores(Text *json) {
  int64_t cores[MOST_CORES];
  text_numbers(json, cores, own_cores(cores, MOST_CORES));
}

static int64_t read_clock(int clock) {
  struct timespec time = {0, 0};
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t wall_clock(void) { return read_clock(CLOCK_REALTIME); }

int64_t thread_time(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

int64_t cpu_time(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }
