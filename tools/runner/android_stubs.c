/* The names that Android's libc.so and libdl.so export, as far as the runner uses them: what it is linked against.
 *
 * Only the names are taken, never this code: on the phone, the loader finds Android's own libraries.
 */
#define STUB(name) \
  void name(void) {}

#ifdef STUB_LIBDL
STUB(dlopen) STUB(dlsym) STUB(dlerror)
#else
char **environ;
STUB(__errno) STUB(__libc_init)
STUB(open64) STUB(read) STUB(write) STUB(lseek64) STUB(close) STUB(access) STUB(fcntl) STUB(dup2) STUB(pipe)
STUB(poll) STUB(syscall) STUB(fsync) STUB(sync) STUB(posix_fadvise64) STUB(fstatfs64)
STUB(mmap64) STUB(munmap) STUB(mincore) STUB(getpagesize)
STUB(_exit) STUB(fork) STUB(execve) STUB(waitpid) STUB(kill) STUB(getpid) STUB(getppid) STUB(geteuid) STUB(getenv)
STUB(signal) STUB(sigprocmask) STUB(setitimer) STUB(prctl) STUB(sched_setscheduler) STUB(sched_setaffinity)
STUB(sched_getaffinity) STUB(getrusage) STUB(clock_gettime)
STUB(pthread_attr_init) STUB(pthread_attr_setstacksize) STUB(pthread_create)
STUB(malloc) STUB(calloc) STUB(realloc) STUB(free) STUB(memcpy) STUB(memset) STUB(memcmp)
STUB(strlen) STUB(strcmp) STUB(strncmp) STUB(strchr) STUB(strrchr) STUB(strstr) STUB(strdup) STUB(strerror)
STUB(strtod) STUB(strtoll) STUB(snprintf) STUB(vsnprintf)
#endif
