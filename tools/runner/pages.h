/* What the kernel keeps of a file in memory, in its page cache. */
#ifndef PAGES_H
#define PAGES_H

#include "system.h"

/* Asks the kernel to drop the pages of a file; what was not written yet is written first. */
void forget_pages(const char *path);

/* Asks the kernel to drop all clean pages of the system, of whatever file; true where it took that. Root only. */
bool forget_everything(void);

/* The size of a file; -1 where it cannot be read, or is none. */
int64_t file_bytes(const char *path);

/* How much of a file lies in memory; -1 where the kernel does not tell. It says "all" of some: see pages_are_told. */
int64_t cached_bytes(const char *path);

/* Whether the kernel tells this process the truth about a file: it must own it, or be allowed to write to it. */
bool pages_are_told(const char *path);

/* The kind of the file system that a file lies on, where that is one in memory, which keeps its pages; else NULL. */
const char *memory_file_system(const char *path);

#endif
