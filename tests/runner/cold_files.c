/* Drops the pages of three files and prints what a cold start would say of them: for programs of boards that no LiteRT
 * library exists for. */
#include "cold.h"
#include "pages.h"
#include "process.h"

int main(int count, char **words) {
  if (count != 4) return 2;
  Engine engine = {.path = words[2], .weight_cache = words[3]};
  Text json = {NULL, 0, 0};
  text_put(&json, "{");
  ColdStart cold = start_cold(words[1], &engine);
  put_cold(&json, &cold);
  text_put(&json, "\"page\": %d}\n", getpagesize());
  return write(1, json.data, json.length) != (long)json.length;
}
