/* The state of the board, as its kernel and its firmware tell it. */
#ifndef SENSORS_H
#define SENSORS_H

#include "text.h"

/* The text of a small file without the space around it; false where it cannot be read. */
bool read_text(const char *path, char *text, size_t room);

/* The number after `key` at the beginning of a line of a text ("VmRSS:"); -1 where there is none. */
int64_t number_after(const char *text, const char *key);

/* Appends the fields of protocol.Conditions as a JSON object. */
void put_conditions(Text *json);

/* What the sensors that are plain files showed during the measured loop. */
typedef struct {
  int count;
  bool has_bits, has_heat, has_clock;
  int64_t bits, hottest, slowest, fastest; /* throttle bits, thousandths of a degree Celsius, Hz */
} Glances;

void glance(Glances *glances);

/* Appends the fields of protocol.During as a JSON object. */
void put_glances(Text *json, const Glances *glances);

/* Microseconds for which some task waited for a CPU since boot; -1 without PSI. */
int64_t pressure_us(void);

#endif
