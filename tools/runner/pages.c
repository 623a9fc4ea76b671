/* The page cache: see pages.h. */
#include "pages.h"

enum { LOOKED_AT = 16384 }; /* pages at a time: 32-bit machines cannot map every file as a whole */

static const int64_t MOST_BYTES = (int64_t)1 << 50; /* three files of this size can still be counted together */

static int open_to_look(const char *path) { return open64(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); }

void forget_pages(const char *path) {
  int file = open_to_look(path);
  if (file < 0) return;
  fsync(file);
  posix_fadvise64(file, 0, 0, POSIX_FADV_DONTNEED); /* where this fails the pages stay, which is seen afterwards */
  close(file);
}

bool forget_everything(void) {
  if (geteuid() != 0) return false;
  sync();
  int file = open64("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC); /* not in a container */
  bool done = file >= 0 && write(file, "1", 1) == 1;
  if (file >= 0) close(file);
  return done;
}

static int64_t bytes_of(int file) {
  char none;
  if (read(file, &none, 0) < 0) return -1; /* a folder */
  int64_t bytes = lseek64(file, 0, SEEK_END);
  return bytes < MOST_BYTES ? bytes : -1;
}

int64_t file_bytes(const char *path) {
  int file = open_to_look(path);
  if (file < 0) return -1;
  int64_t bytes = bytes_of(file);
  close(file);
  return bytes;
}

/* How many of the pages from a place of a file on lie in memory; -1 where the kernel does not tell. */
static int64_t pages_at(int file, int64_t place, size_t bytes, size_t page) {
  static unsigned char flags[LOOKED_AT];
  int64_t count = 0;
  void *address = mmap64(NULL, bytes, PROT_READ, MAP_SHARED, file, place); /* which brings nothing in */
  if (address == MAP_FAILED) return -1;
  int failed = mincore(address, bytes, flags);
  munmap(address, bytes);
  for (size_t i = 0; i < (bytes + page - 1) / page; i++) count += flags[i] & 1;
  return failed ? -1 : count;
}

int64_t cached_bytes(const char *path) {
  int file = open_to_look(path);
  if (file < 0) return 0;
  int64_t page = getpagesize(), step = page * LOOKED_AT, bytes = bytes_of(file), cached = 0;
  for (int64_t place = 0; place < bytes; place += step) {
    int64_t left = bytes - place, pages = pages_at(file, place, (size_t)(left < step ? left : step), (size_t)page);
    if (pages < 0) {
      close(file);
      return -1;
    }
    cached += pages * page;
  }
  close(file);
  return cached < bytes ? cached : bytes > 0 ? bytes : 0; /* the last page may be larger than what is left */
}

bool pages_are_told(const char *path) {
  if (access(path, W_OK) == 0) return true;
  int file = open64(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME); /* who may this, is told by mincore too */
  if (file >= 0) close(file);
  return file >= 0;
}

const char *memory_file_system(const char *path) {
  struct statfs64 system = {0};
  int file = open_to_look(path);
  if (file < 0) return NULL;
  int failed = fstatfs64(file, &system);
  close(file);
  switch (failed ? 0 : (uint32_t)system.type) {
    case 0x01021994: return "tmpfs";
    case 0x858458F6: return "ramfs";
    default: return NULL;
  }
}
