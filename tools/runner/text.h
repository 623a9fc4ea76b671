/* A text that grows: the answer is written into one, as JSON. */
#ifndef TEXT_H
#define TEXT_H

#include "system.h"

typedef struct {
  char *data; /* always ends with a NUL */
  size_t length, room;
} Text;

/* Memory that is there or ends the process with the error "out-of-memory". */
void *need(void *block);

/* Makes room for more bytes and a NUL. */
void text_reserve(Text *text, size_t more);

/* Appends as printf does. */
void text_put(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends bytes as they are. */
void text_append(Text *text, const char *bytes, size_t count);

/* Appends a JSON string with its quotes; what is not UTF-8 becomes U+FFFD. NULL becomes null. */
void text_string(Text *text, const char *string);

/* Appends the base64 of raw bytes, without quotes. */
void text_base64(Text *text, const void *bytes, size_t count);

/* Appends a JSON list of whole numbers. */
void text_numbers(Text *text, const int64_t *values, size_t count);

#endif
