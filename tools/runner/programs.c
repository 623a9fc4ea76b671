/* Programs of the board: see programs.h. */
#include "programs.h"

#include "process.h"

enum { PATIENCE_MS = 2000, MOST_SILENT = 8 };

static const char *silent[MOST_SILENT];
static bool end_with_us;

void never_ask(const char *program) {
  for (size_t i = 0; i < MOST_SILENT; i++) {
    if (silent[i]) continue;
    silent[i] = program;
    return;
  }
}

static bool is_silent(const char *program) {
  for (size_t i = 0; i < MOST_SILENT && silent[i]; i++)
    if (!strcmp(silent[i], program)) return true;
  return false;
}

void programs_end_with_us(void) { end_with_us = true; }

static bool is_space(char character) { return character == ' ' || (character >= '\t' && character <= '\r'); }

void trim(char *text) {
  size_t count = strlen(text), begin = 0;
  while (count && is_space(text[count - 1])) count--;
  text[count] = 0;
  while (is_space(text[begin])) begin++;
  for (size_t i = 0; (text[i] = text[begin + i]); i++) {
  }
}

void keep_to_ourselves(int descriptor) { fcntl(descriptor, F_SETFD, FD_CLOEXEC); }

static bool find_in(const char *folders, const char *name, char *path, size_t room) {
  for (const char *end; folders; folders = end ? end + 1 : NULL) {
    end = strchr(folders, ':');
    int length = (int)(end ? (size_t)(end - folders) : strlen(folders));
    if (length && snprintf(path, room, "%.*s/%s", length, folders, name) < (int)room && access(path, X_OK) == 0)
      return true;
  }
  return false;
}

/* The path of a program: in the folders of PATH, then where Raspberry Pi OS and Android have it. */
static bool find_program(const char *name, char *path, size_t room) {
  if (strchr(name, '/')) return snprintf(path, room, "%s", name) < (int)room;
  return find_in(getenv("PATH"), name, path, room) || find_in("/usr/bin:/opt/vc/bin:/system/bin", name, path, room);
}

/* Starts a program with its standard output into the pipe and nothing to read; returns its pid. */
static int start(const char *path, const char *const *arguments, int output) {
  int pid = fork();
  if (pid) return pid;
  if (end_with_us) prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0ul, 0ul, 0ul);
  int nothing = open64("/dev/null", O_RDONLY);
  dup2(nothing, 0);
  dup2(output, 1);
  execve(path, (char *const *)arguments, environ);
  _exit(127);
}

/* Reads until the other end is closed; false where that takes too long, or it is too much. */
static bool read_all(int from, char *text, size_t room, int64_t deadline) {
  size_t length = 0;
  for (;;) {
    int64_t left = (deadline - now()) / 1000000;
    struct pollfd reading = {from, POLLIN, 0};
    if (left < 0 || length + 1 >= room || poll(&reading, 1, (int)left) <= 0) return false;
    long count = read(from, text + length, room - 1 - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    length += (size_t)count;
    text[length] = 0;
    if (count == 0) return true;
  }
}

bool ask(const char *const *arguments, char *text, size_t room) {
  char path[4096];
  int ends[2], status = -1, ended = 0;
  *text = 0;
  if (is_silent(arguments[0]) || !find_program(arguments[0], path, sizeof path) || pipe(ends)) return false;
  keep_to_ourselves(ends[0]);
  keep_to_ourselves(ends[1]);
  int64_t deadline = now() + (int64_t)PATIENCE_MS * 1000000;
  int pid = start(path, arguments, ends[1]);
  close(ends[1]);
  if (pid > 0) {
    bool whole = read_all(ends[0], text, room, deadline);
    while (whole && (ended = waitpid(pid, &status, WNOHANG)) == 0 && now() < deadline) poll(NULL, 0, 1);
    if (ended <= 0) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      never_ask(arguments[0]);
      status = -1;
    }
  }
  close(ends[0]);
  trim(text);
  return pid > 0 && status == 0;
}
