/* Runs one model on a board without Python in one fresh process and prints what it measured.
 *
 * The twin of edgekit/runner/payload: the same one-line request on standard input, the same framed answer, the same
 * meaning of every field. It needs a C library and LiteRT's shared library, which it opens with dlopen.
 *
 *     runner < request.json
 */
#include "process.h"
#include "records.h"
#include "sensors.h"

int main(void) {
  take_standard_output();
  take_signals();
  char *line = read_request_line();
  const char *reason = "it is too long";
  const Json *request = line ? json_parse(line, &reason) : NULL;
  if (!request) fail("request", "the request is not JSON: %s", reason);
  if (request->kind != JSON_OBJECT) fail("request", "the request is not a JSON object");
  take_sensors(request);
  if (json_member(request, "time_limit_s")) limit_time(want_seconds(request, "time_limit_s"));
  end_with_the_host();
  static const struct {
    const char *mode;
    void (*put)(Text *json, const Json *request);
  } modes[] = {
      {"probe", put_probe}, {"describe", put_description}, {"latency", put_trial},
      {"memory", put_trial}, {"cold", put_trial},          {"smoke", put_trial},     {"profile", put_profile},
  };
  const char *mode = want_string(request, "mode");
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
    if (strcmp(mode, modes[i].mode)) continue;
    Text json = {NULL, 0, 0};
    modes[i].put(&json, request);
    answer(&json);
  }
  fail("request", "unknown mode: %s", mode);
}
