/* The Raspberry Pi's firmware: see firmware.h. */
#include "firmware.h"

enum { PATIENCE_MS = 2000 };

bool parse_number(const char *text, int base, int64_t *number) {
  char *end;
  *number = strtoll(text, &end, base);
  return end != text && *end == 0;
}

/* The path of the program: in the folders of PATH, then where Raspberry Pi OS has it. */
static bool find_program(char *path, size_t room) {
  const char *rest = getenv("PATH");
  char folders[4096];
  snprintf(folders, sizeof folders, "%s:/usr/bin:/opt/vc/bin", rest ? rest : "");
  for (char *folder = folders, *end; folder; folder = end) {
    end = strchr(folder, ':');
    if (end) *end++ = 0;
    if (*folder && snprintf(path, room, "%s/vcgencmd", folder) < (int)room && access(path, X_OK) == 0) return true;
  }
  return false;
}

/* Starts the program with its standard output into the pipe; returns its pid. */
static int start(const char *path, const char *word, const char *argument, int output) {
  int pid = fork();
  if (pid) return pid;
  char *const arguments[] = {(char *)path, (char *)word, (char *)argument, NULL};
  dup2(output, 1);
  execve(path, arguments, environ);
  _exit(127);
}

bool ask_firmware(const char *word, const char *argument, int base, int64_t *number) {
  static bool silent; /* it did not answer in time: it is not asked again */
  char path[4096], text[1024];
  int ends[2], status = -1;
  if (silent || !find_program(path, sizeof path) || pipe(ends)) return false;
  int pid = start(path, word, argument, ends[1]);
  close(ends[1]);
  struct pollfd reading = {ends[0], POLLIN, 0};
  long count = 0;
  if (pid > 0) {
    if (poll(&reading, 1, PATIENCE_MS) > 0) {
      count = read(ends[0], text, sizeof text - 1);
    } else {
      kill(pid, SIGKILL);
      silent = true;
    }
    waitpid(pid, &status, 0);
  }
  close(ends[0]);
  if (pid <= 0 || status != 0 || count <= 0) return false;
  while (count && (text[count - 1] == '\n' || text[count - 1] == ' ')) count--;
  text[count] = 0;
  const char *value = strchr(text, '=');
  return value && parse_number(value + 1, base, number);
}
