/* The request: JSON into a tree, and what a job may ask of it. */
#ifndef JSON_H
#define JSON_H

#include "system.h"

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT } JsonKind;

typedef struct Json Json;
struct Json {
  JsonKind kind;
  bool is_whole;  /* a number without fraction and exponent that fits 64 bits */
  double number;
  int64_t whole;
  char *string;   /* of a string, in UTF-8 */
  char *key;      /* of a member of an object */
  Json *first;    /* of a list's or an object's members */
  Json *next;     /* the next member of the same list or object */
};

/* The tree of a text; NULL and a reason where it is not JSON. */
Json *json_parse(const char *text, const char **reason);

/* A member of an object, the last one of that name; NULL where there is none or it is null. */
const Json *json_member(const Json *object, const char *key);

/* Members that a request must have: each ends the process with the error "request" where they are missing or of
 * another kind. */
const char *want_string(const Json *request, const char *key);
int64_t want_whole(const Json *request, const char *key, int64_t least, int64_t most);
double want_seconds(const Json *request, const char *key);
const Json *want_list(const Json *request, const char *key);

/* Members that may be missing, and what stands for them then. */
const char *string_or(const Json *request, const char *key, const char *otherwise);
bool truth_or(const Json *request, const char *key, bool otherwise);

size_t json_count(const Json *list);

#endif
