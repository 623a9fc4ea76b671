/* The state of the board, as its kernel, its firmware and the sensors that the job names tell it. */
#ifndef SENSORS_H
#define SENSORS_H

#include "json.h"
#include "text.h"

#define UNKNOWN INT64_MIN /* a sensor that does not tell */

/* The text of a file without the space around it, as far as there is room; false, and an empty text, where it cannot
 * be opened. */
bool read_text(const char *path, char *text, size_t room);

/* The number after `key` at the beginning of a line of a text ("VmRSS:"); -1 where there is none. */
int64_t number_after(const char *text, const char *key);

/* Appends a number, or null where it is UNKNOWN. */
void put_number(Text *json, int64_t value);

/* Appends degrees from thousandths, or null. */
void put_degrees(Text *json, int64_t thousandths);

/* Takes protocol.SensorSources from the request; the text lives as long as the request. */
void take_sensors(const Json *request);

/* Each: the sensor that the job names, else the usual one; UNKNOWN where none tells. Programs are only asked where
 * that is allowed. Thousandths of a degree Celsius, Hz, the Raspberry Pi's bits, Android's 0 to 6. */
int64_t read_temperature(bool programs);
int64_t read_clock(bool programs);
int64_t read_throttle_bits(bool programs);
int64_t read_thermal_status(bool programs);

/* Hz that cpufreq shows for a core in one of its files, or UNKNOWN. */
int64_t core_frequency(int64_t core, const char *file);

/* The highest number of a core. */
int64_t last_core(void);

/* The core that a process ran on last ("self", or its pid), or UNKNOWN. */
int64_t core_of(const char *process);

/* Appends the fields of protocol.Conditions as a JSON object. */
void put_conditions(Text *json);

/* Microseconds for which some task waited for a CPU since boot; -1 without PSI. */
int64_t pressure_us(void);

/* Nanoseconds for which the cores that this process may run on have been busy, or UNKNOWN. */
int64_t busy_ns(void);

#endif
