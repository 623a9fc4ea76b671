/* What the runner uses of the C library, declared by hand: one list that fits glibc and Android's bionic alike.
 *
 * There are no Android headers without the NDK, and no header of a C library is included here, so that both builds are
 * the same program. Everything below has the same binary interface in both, on 64-bit and on 32-bit ARM Linux (where
 * time is still counted in longs). Streams (FILE) are left out on purpose: they differ.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  O_RDONLY = 0,
  O_WRONLY = 1,
  O_RDWR = 2,
  O_NONBLOCK = 04000,
  O_NOATIME = 01000000,
  O_CLOEXEC = 02000000,
  POSIX_FADV_DONTNEED = 4,
  F_SETFD = 2,
  F_DUPFD_CLOEXEC = 1030,
  FD_CLOEXEC = 1,
  SEEK_SET = 0,
  SEEK_END = 2,
  X_OK = 1,
  W_OK = 2,
  F_OK = 0,
  EINTR = 4,
  EAGAIN = 11,
  PROT_READ = 1,
  MAP_SHARED = 1,
  RTLD_NOW = 2,
  SIGKILL = 9,
  SIGPIPE = 13,
  SIGALRM = 14,
  SIGCHLD = 17,
  SIG_SETMASK = 2,
  POLLIN = 1,
  POLLOUT = 4,
  PR_SET_PDEATHSIG = 1,
  ITIMER_REAL = 0,
  WNOHANG = 1,
  SCHED_IDLE = 5,
  RUSAGE_SELF = 0,
  CLOCK_REALTIME = 0,
  CLOCK_MONOTONIC = 1,
  CLOCK_PROCESS_CPUTIME_ID = 2,
  CLOCK_THREAD_CPUTIME_ID = 3,
};

#if defined(__x86_64__) || defined(__arm__)
enum { SYS_getdents64 = 217 };
#elif defined(__aarch64__)
enum { SYS_getdents64 = 61 };
#else
#error "the number of getdents64 is not known for this architecture"
#endif

struct timespec {
  long tv_sec, tv_nsec;
};
struct timeval {
  long tv_sec, tv_usec;
};
struct itimerval {
  struct timeval it_interval, it_value;
};
struct pollfd {
  int fd;
  short events, revents;
};
struct rusage {
  struct timeval user, system;
  long max_rss, shared, data, stack, minor_faults, major_faults, swaps, blocks_in, blocks_out, messages_sent,
      messages_received, signals, voluntary_switches, involuntary_switches;
};

struct statfs64 { /* larger than either C library's */
  long type;
  char rest[248];
};

#define MAP_FAILED ((void *)-1)

#ifdef __ANDROID__
int *__errno(void);
#define errno (*__errno())
#else
int *__errno_location(void);
#define errno (*__errno_location())
#endif

extern char **environ;

/* files */
int open64(const char *path, int flags, ...);
long read(int descriptor, void *buffer, size_t count);
long write(int descriptor, const void *buffer, size_t count);
int64_t lseek64(int descriptor, int64_t offset, int whence);
int close(int descriptor);
int access(const char *path, int mode);
int fcntl(int descriptor, int command, ...);
int dup2(int from, int to);
int fsync(int descriptor);
int posix_fadvise64(int descriptor, int64_t offset, int64_t count, int advice);
int fstatfs64(int descriptor, struct statfs64 *system);
void sync(void);
void *mmap64(void *address, size_t bytes, int protection, int flags, int descriptor, int64_t offset);
int munmap(void *address, size_t bytes);
int mincore(void *address, size_t bytes, unsigned char *pages);
int getpagesize(void);
int pipe(int *ends);
int poll(struct pollfd *descriptors, unsigned long count, int milliseconds);
long syscall(long number, ...);

/* processes */
void _exit(int status) __attribute__((noreturn));
int fork(void);
int execve(const char *path, char *const *arguments, char *const *environment);
int waitpid(int pid, int *status, int options);
int kill(int pid, int signal_number);
int getpid(void);
int getppid(void);
unsigned geteuid(void);
char *getenv(const char *name);
void (*signal(int number, void (*action)(int)))(int);
int sigprocmask(int how, const void *set, void *old);
int setitimer(int which, const struct itimerval *value, struct itimerval *old);
int prctl(int option, ...);
int sched_setscheduler(int pid, int policy, const void *priority);
int sched_setaffinity(int pid, size_t bytes, const void *mask);
int sched_getaffinity(int pid, size_t bytes, void *mask);
int getrusage(int who, struct rusage *usage);
int clock_gettime(int clock, struct timespec *time);
int pthread_attr_init(void *attributes);
int pthread_attr_setstacksize(void *attributes, size_t bytes);
int pthread_create(unsigned long *thread, const void *attributes, void *(*start)(void *), void *argument);

/* the loader */
void *dlopen(const char *path, int flags);
void *dlsym(void *library, const char *name);
char *dlerror(void);

/* memory and text */
void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *block, size_t bytes);
void free(void *block);
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
size_t strlen(const char *text);
int strcmp(const char *left, const char *right);
int strncmp(const char *left, const char *right, size_t count);
char *strchr(const char *text, int character);
char *strrchr(const char *text, int character);
char *strstr(const char *text, const char *part);
char *strdup(const char *text);
char *strerror(int number);
double strtod(const char *text, char **end);
long long strtoll(const char *text, char **end, int base);
int snprintf(char *buffer, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
int vsnprintf(char *buffer, size_t room, const char *format, va_list arguments) __attribute__((format(printf, 3, 0)));

#endif
