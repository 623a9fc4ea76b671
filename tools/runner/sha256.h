/* SHA-256 (FIPS 180-4). */
#ifndef SHA256_H
#define SHA256_H

#include "system.h"

typedef struct {
  uint32_t state[8];
  uint64_t length; /* bytes so far */
  unsigned char block[64];
} Sha256;

typedef char Sha256Text[65];

void sha256_begin(Sha256 *hash);
void sha256_add(Sha256 *hash, const void *bytes, size_t count);
void sha256_end(Sha256 *hash, Sha256Text text);

/* The hash of a file; ends the process with the error "model-missing" where it cannot be read. */
void sha256_model(const char *path, Sha256Text text);

#endif
