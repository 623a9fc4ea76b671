/* JSON into a tree (RFC 8259): see json.h. */
#include "json.h"

#include "process.h"

enum { DEEPEST = 64 };

typedef struct {
  const char *at;
  const char *reason;
  int depth;
} Reader;

static Json *read_value(Reader *reader);

static void *refuse(Reader *reader, const char *reason) {
  if (!reader->reason) reader->reason = reason;
  return NULL;
}

static void skip_space(Reader *reader) {
  while (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\r' || *reader->at == '\n') reader->at++;
}

static bool is_digit(char character) { return character >= '0' && character <= '9'; }

/* Four hexadecimal digits; -1 where there are none. */
static int32_t read_hex(Reader *reader) {
  int32_t value = 0;
  for (int i = 0; i < 4; i++, reader->at++) {
    char digit = *reader->at;
    if (is_digit(digit))
      value = value * 16 + (digit - '0');
    else if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
      value = value * 16 + ((digit | 32) - 'a' + 10);
    else
      return -1;
  }
  return value;
}

static char *put_character(char *to, uint32_t code) {
  if (code < 0x80) {
    *to++ = (char)code;
  } else if (code < 0x800) {
    *to++ = (char)(0xC0 | code >> 6);
    *to++ = (char)(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *to++ = (char)(0xE0 | code >> 12);
    *to++ = (char)(0x80 | (code >> 6 & 63));
    *to++ = (char)(0x80 | (code & 63));
  } else {
    *to++ = (char)(0xF0 | code >> 18);
    *to++ = (char)(0x80 | (code >> 12 & 63));
    *to++ = (char)(0x80 | (code >> 6 & 63));
    *to++ = (char)(0x80 | (code & 63));
  }
  return to;
}

/* What follows "\u": a character, or half of one with the other half after it. */
static char *read_unicode(Reader *reader, char *to) {
  int32_t code = read_hex(reader);
  if (code <= 0) return refuse(reader, code == 0 ? "a NUL in a string" : "a broken \\u in a string");
  if (code >= 0xD800 && code < 0xDC00 && reader->at[0] == '\\' && reader->at[1] == 'u') {
    reader->at += 2;
    int32_t low = read_hex(reader);
    if (low < 0xDC00 || low > 0xDFFF) return refuse(reader, "half a character in a string");
    return put_character(to, 0x10000 + (((uint32_t)code - 0xD800) << 10) + ((uint32_t)low - 0xDC00));
  }
  if (code >= 0xDC80 && code <= 0xDCFF) { /* Python's way to write a byte of a file name that is not UTF-8 */
    *to = (char)(code - 0xDC00);
    return to + 1;
  }
  if (code >= 0xD800 && code <= 0xDFFF) return refuse(reader, "half a character in a string");
  return put_character(to, (uint32_t)code);
}

static char *read_escape(Reader *reader, char *to) {
  static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  char name = *reader->at;
  if (name == 'u') {
    reader->at++;
    return read_unicode(reader, to);
  }
  const char *found = name ? strchr(names, name) : NULL;
  if (!found) return refuse(reader, "an unknown escape in a string");
  reader->at++;
  *to = values[found - names];
  return to + 1;
}

static char *read_string(Reader *reader) {
  const char *end = ++reader->at;
  while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
  if (!*end) return refuse(reader, "a string without an end");
  char *string = need(malloc((size_t)(end - reader->at) + 1)); /* an escape is never shorter than what it stands for */
  char *to = string;
  while (*reader->at != '"') {
    if ((unsigned char)*reader->at < 0x20) return refuse(reader, "a control character in a string");
    if (*reader->at != '\\') {
      *to++ = *reader->at++;
      continue;
    }
    reader->at++;
    to = read_escape(reader, to);
    if (!to) return NULL;
  }
  reader->at++;
  *to = 0;
  return string;
}

static Json *read_number(Reader *reader, Json *value) {
  const char *begin = reader->at, *at = begin;
  bool whole = true;
  if (*at == '-') at++;
  if (!is_digit(*at) || (*at == '0' && is_digit(at[1]))) return refuse(reader, "a value was expected");
  while (is_digit(*at)) at++;
  size_t digits = (size_t)(at - begin);
  if (*at == '.') {
    whole = false;
    if (!is_digit(*++at)) return refuse(reader, "a number without digits after its point");
    while (is_digit(*at)) at++;
  }
  if (*at == 'e' || *at == 'E') {
    whole = false;
    at++;
    if (*at == '+' || *at == '-') at++;
    if (!is_digit(*at)) return refuse(reader, "a number without digits in its exponent");
    while (is_digit(*at)) at++;
  }
  value->kind = JSON_NUMBER;
  value->number = strtod(begin, NULL);
  value->is_whole = whole && digits <= 18;
  if (value->is_whole) value->whole = strtoll(begin, NULL, 10);
  reader->at = at;
  return value;
}

/* The members of a list or an object, after its opening bracket. */
static Json *read_members(Reader *reader, Json *value, char closing) {
  Json **place = &value->first;
  if (++reader->depth > DEEPEST) return refuse(reader, "too deep");
  reader->at++;
  skip_space(reader);
  while (*reader->at != closing || value->first) {
    char *key = NULL;
    if (closing == '}') {
      if (*reader->at != '"') return refuse(reader, "a key was expected");
      key = read_string(reader);
      if (!key) return NULL;
      skip_space(reader);
      if (*reader->at != ':') return refuse(reader, "':' was expected");
      reader->at++;
    }
    Json *member = read_value(reader);
    if (!member) return NULL;
    member->key = key;
    *place = member;
    place = &member->next;
    if (*reader->at == closing) break;
    if (*reader->at != ',') return refuse(reader, "',' was expected");
    reader->at++;
    skip_space(reader);
  }
  reader->at++;
  reader->depth--;
  return value;
}

static Json *read_value(Reader *reader) {
  static const struct {
    const char *word;
    JsonKind kind;
  } words[] = {{"null", JSON_NULL}, {"false", JSON_FALSE}, {"true", JSON_TRUE}};
  Json *value = need(calloc(1, sizeof *value)), *read = NULL;
  skip_space(reader);
  if (*reader->at == '{' || *reader->at == '[') {
    value->kind = *reader->at == '{' ? JSON_OBJECT : JSON_LIST;
    read = read_members(reader, value, *reader->at == '{' ? '}' : ']');
  } else if (*reader->at == '"') {
    value->kind = JSON_STRING;
    value->string = read_string(reader);
    if (value->string) read = value;
  } else {
    for (size_t i = 0; !read && i < sizeof words / sizeof *words; i++) {
      if (strncmp(reader->at, words[i].word, strlen(words[i].word))) continue;
      value->kind = words[i].kind;
      reader->at += strlen(words[i].word);
      read = value;
    }
    if (!read) read = read_number(reader, value);
  }
  skip_space(reader);
  return read;
}

Json *json_parse(const char *text, const char **reason) {
  Reader reader = {text, NULL, 0};
  Json *value = read_value(&reader);
  if (value && *reader.at) value = refuse(&reader, "more after its end");
  *reason = reader.reason;
  return value;
}

const Json *json_member(const Json *object, const char *key) {
  const Json *found = NULL;
  for (const Json *member = object->first; member; member = member->next)
    if (member->key && !strcmp(member->key, key)) found = member;
  return found && found->kind != JSON_NULL ? found : NULL;
}

static const Json *want(const Json *request, const char *key, JsonKind kind, const char *what) {
  const Json *found = json_member(request, key);
  if (!found) fail("request", "the request has no %s", key);
  if (found->kind != kind) fail("request", "%s in the request is not %s", key, what);
  return found;
}

const char *want_string(const Json *request, const char *key) {
  return want(request, key, JSON_STRING, "a text")->string;
}

int64_t want_whole(const Json *request, const char *key, int64_t least, int64_t most) {
  const Json *found = want(request, key, JSON_NUMBER, "a whole number");
  if (!found->is_whole || found->whole < least || found->whole > most)
    fail("request", "%s in the request is not a whole number from %lld to %lld", key, (long long)least,
         (long long)most);
  return found->whole;
}

double want_seconds(const Json *request, const char *key) {
  double seconds = want(request, key, JSON_NUMBER, "a number of seconds")->number;
  if (!(seconds >= 0 && seconds <= 1e9)) fail("request", "%s in the request is not a number of seconds", key);
  return seconds;
}

const Json *want_list(const Json *request, const char *key) { return want(request, key, JSON_LIST, "a list"); }

const char *string_or(const Json *request, const char *key, const char *otherwise) {
  return json_member(request, key) ? want_string(request, key) : otherwise;
}

bool truth_or(const Json *request, const char *key, bool otherwise) {
  const Json *found = json_member(request, key);
  return found ? found->kind == JSON_TRUE : otherwise;
}

size_t json_count(const Json *list) {
  size_t count = 0;
  for (const Json *member = list->first; member; member = member->next) count++;
  return count;
}
