/* A text that grows: see text.h. */
#include "text.h"

#include "process.h"

void *need(void *block) {
  if (!block) fail("out-of-memory", "the runner ran out of memory on the board");
  return block;
}

void text_reserve(Text *text, size_t more) {
  size_t wanted;
  if (__builtin_add_overflow(text->length, more, &wanted) || wanted > SIZE_MAX / 4) need(NULL);
  if (wanted < text->room) return;
  text->room = wanted + wanted / 2 + 256;
  text->data = need(realloc(text->data, text->room));
}

void text_append(Text *text, const char *bytes, size_t count) {
  text_reserve(text, count);
  memcpy(text->data + text->length, bytes, count);
  text->length += count;
  text->data[text->length] = 0;
}

void text_put(Text *text, const char *format, ...) {
  va_list arguments;
  text_reserve(text, 256);
  for (;;) {
    size_t room = text->room - text->length;
    va_start(arguments, format);
    int count = vsnprintf(text->data + text->length, room, format, arguments);
    va_end(arguments);
    if (count < 0) return;
    if ((size_t)count < room) {
      text->length += (size_t)count;
      return;
    }
    text_reserve(text, (size_t)count + 1);
  }
}

/* Bytes of the UTF-8 character at `at`; 0 where there is none. A NUL ends every sequence too early. */
static size_t character_length(const unsigned char *at) {
  size_t length = at[0] < 0x80 ? 1 : at[0] < 0xC2 ? 0 : at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : at[0] < 0xF5 ? 4 : 0;
  for (size_t i = 1; i < length; i++)
    if ((at[i] & 0xC0) != 0x80) return 0;
  bool overlong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
  bool surrogate = at[0] == 0xED && at[1] >= 0xA0;
  bool too_large = at[0] == 0xF4 && at[1] >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

void text_string(Text *text, const char *string) {
  if (!string) {
    text_put(text, "null");
    return;
  }
  text_append(text, "\"", 1);
  for (const unsigned char *at = (const unsigned char *)string; *at;) {
    size_t length = character_length(at);
    if (length == 0) {
      text_append(text, "\\ufffd", 6);
      at++;
    } else if (*at < 0x20 || *at == 0x7F) {
      text_put(text, "\\u%04x", *at++);
    } else {
      if (*at == '"' || *at == '\\') text_append(text, "\\", 1);
      text_append(text, (const char *)at, length);
      at += length;
    }
  }
  text_append(text, "\"", 1);
}

void text_base64(Text *text, const void *bytes, size_t count) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *from = bytes;
  text_reserve(text, count / 3 * 4 + 4);
  char *to = text->data + text->length;
  for (; count >= 3; count -= 3, from += 3) {
    uint32_t three = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
    *to++ = digits[three >> 18];
    *to++ = digits[three >> 12 & 63];
    *to++ = digits[three >> 6 & 63];
    *to++ = digits[three & 63];
  }
  if (count) {
    uint32_t rest = (uint32_t)from[0] << 16 | (count == 2 ? (uint32_t)from[1] << 8 : 0);
    *to++ = digits[rest >> 18];
    *to++ = digits[rest >> 12 & 63];
    *to++ = count == 2 ? digits[rest >> 6 & 63] : '=';
    *to++ = '=';
  }
  *to = 0;
  text->length = (size_t)(to - text->data);
}

void text_numbers(Text *text, const int64_t *values, size_t count) {
  text_append(text, "[", 1);
  for (size_t i = 0; i < count; i++) text_put(text, i ? ",%lld" : "%lld", (long long)values[i]);
  text_append(text, "]", 1);
}
