/* Reads requests, one a line, with the native runner's own reader, and prints what it understood: for the fuzz test. */
#include "json.h"
#include "process.h"

static void put(Text *text, const Json *value) {
  bool first = true;
  switch (value->kind) {
    case JSON_NULL: text_put(text, "null"); break;
    case JSON_FALSE: text_put(text, "false"); break;
    case JSON_TRUE: text_put(text, "true"); break;
    case JSON_STRING: text_string(text, value->string); break;
    case JSON_NUMBER:
      if (value->is_whole)
        text_put(text, "%lld", (long long)value->whole);
      else
        text_put(text, value->number - value->number == 0 ? "%.17g" : "1e999", value->number);
      break;
    default:
      text_put(text, value->kind == JSON_LIST ? "[" : "{");
      for (const Json *member = value->first; member; member = member->next) {
        if (!first) text_put(text, ", ");
        first = false;
        if (value->kind == JSON_OBJECT) {
          text_string(text, member->key);
          text_put(text, ": ");
        }
        put(text, member);
      }
      text_put(text, value->kind == JSON_LIST ? "]" : "}");
  }
}

int main(void) {
  Text input = {NULL, 0, 0};
  for (;;) {
    text_reserve(&input, 1 << 16);
    long count = read(0, input.data + input.length, input.room - input.length - 1);
    if (count <= 0) break;
    input.length += (size_t)count;
  }
  input.data[input.length] = 0;
  for (char *line = input.data, *end; (end = strchr(line, '\n')); line = end + 1) {
    const char *reason = NULL;
    *end = 0;
    /* a copy of exactly its length, so that the checker sees a read beyond it */
    char *copy = need(strdup(line));
    Text text = {NULL, 0, 0};
    const Json *value = json_parse(copy, &reason);
    if (value)
      put(&text, value);
    else
      text_put(&text, "!%s", reason ? reason : "(no reason)");
    text_append(&text, "\n", 1);
    if (write(1, text.data, text.length) != (long)text.length) return 1;
    free(copy);
    free(text.data);
  }
  return 0;
}
