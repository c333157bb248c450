#ifndef AURORA_H
#define AURORA_H

/* Made from src/ by cbindgen: AURORA_BLESS=1 cargo test --test header */

#include <stddef.h>
#include <stdint.h>

// It went well.
#define AURORA_OK 0

// The server goes on: what `aurora_poll` says until it has stopped.
#define AURORA_RUNNING 1

// It did not: see `aurora_error`.
#define AURORA_ERROR -1

// A request, with all of its content.
typedef struct aurora_request aurora_request;

// A response, before it is sent: 200, without fields and body, unless the handler says otherwise.
typedef struct aurora_response aurora_response;

// A server: of one thread, from `aurora_new` to `aurora_free`.
typedef struct aurora_server aurora_server;

// Answers a request: reads it by `aurora_request_…`, writes the response by `aurora_response_…`, and keeps neither of the
// pointers. `context` is what its route was made with. It must not be left by longjmp or by an exception.
typedef void (*aurora_handler)(const aurora_request *request,
                               aurora_response *response,
                               void *context);

// Bytes that belong to the server: valid until the handler returns. `data` is null when there are none.
typedef struct {
  // The first of them.
  const uint8_t *data;
  // How many there are.
  size_t len;
} aurora_bytes;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What went wrong last on this thread; empty when nothing did. Valid until the next call of this library on this thread.
const char *aurora_error(void);

// A server at `address`, such as "127.0.0.1:8080" (port 0 lets the system choose), for so many connections at once, whose
// requests have at most so many bytes of content. Null when that cannot be.
//
// # Safety
// `address` is a string.
aurora_server *aurora_new(const char *address,
                          size_t connections,
                          uint64_t content_max);

// Has `handler` answer requests with this method and path, with `context` as its last argument. For GET it also answers HEAD.
// Before `aurora_listen`.
//
// # Safety
// `server` is one of `aurora_new`, `method` and `path` are strings, and `handler` may be called with `context` until
// the server is freed.
int aurora_route(aurora_server *server,
                 const char *method,
                 const char *path,
                 aurora_handler handler,
                 void *context);

// Opens the listener. From now on the server is served by `aurora_poll`.
//
// # Safety
// `server` is one of `aurora_new`.
int aurora_listen(aurora_server *server);

// The port of its listener; 0 when it does not listen.
//
// # Safety
// `server` is one of `aurora_new`.
uint16_t aurora_port(const aurora_server *server);

// The descriptor to wait for: call `aurora_poll` when it is readable. -1 when the server does not listen.
//
// # Safety
// `server` is one of `aurora_new`.
int aurora_fd(const aurora_server *server);

// For how many milliseconds to wait for the descriptor at most, as poll(2) takes it; -1 is for ever. To be asked after
// every `aurora_poll`.
//
// # Safety
// `server` is one of `aurora_new`.
int aurora_timeout_ms(const aurora_server *server);

// Does what there is to do without waiting, and calls handlers. `AURORA_RUNNING`; `AURORA_OK` once a stop has run its
// course; `AURORA_ERROR` when the server is good for nothing but `aurora_free`.
//
// # Safety
// `server` is one of `aurora_new`, and this is not called from a handler.
int aurora_poll(aurora_server *server);

// Has it stop: who is idle is let go, who is being served is served, and then `aurora_poll` says `AURORA_OK`. Not from a handler.
//
// # Safety
// `server` is one of `aurora_new`.
void aurora_stop(const aurora_server *server);

// Ends and frees it. Nothing happens for null.
//
// # Safety
// `server` is one of `aurora_new` and not used any more, and this is not called from a handler.
void aurora_free(aurora_server *server);

// The path, as it came, without the query.
//
// # Safety
// `request` is what the handler was called with.
aurora_bytes aurora_request_path(const aurora_request *request);

// What stands behind the path's question mark.
//
// # Safety
// `request` is what the handler was called with.
aurora_bytes aurora_request_query(const aurora_request *request);

// The value of the first field with this name, in whatever case; null without one.
//
// # Safety
// `request` is what the handler was called with, and `name` is a string.
aurora_bytes aurora_request_field(const aurora_request *request, const char *name);

// The content.
//
// # Safety
// `request` is what the handler was called with.
aurora_bytes aurora_request_content(const aurora_request *request);

// Answers with this status, from 200 to 599.
//
// # Safety
// `response` is what the handler was called with.
int aurora_response_status(aurora_response *response, uint16_t status);

// Adds a field. Those that say how long the body is are the server's.
//
// # Safety
// `response` is what the handler was called with, `name` and `value` are strings.
int aurora_response_field(aurora_response *response, const char *name, const char *value);

// Adds to the body; the bytes are copied.
//
// # Safety
// `response` is what the handler was called with, and there are `len` bytes at `data`, which may be null without any.
int aurora_response_body(aurora_response *response,
                         const uint8_t *data,
                         size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* AURORA_H */
