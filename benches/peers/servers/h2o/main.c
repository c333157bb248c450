// h2o's library, on its own event loop with epoll: cc -O3 -o peer-h2o main.c -lh2o-evloop -lssl -lcrypto -lz -lpthread -lwslay
//
// The same options and paths as the other servers: see ../common/src/lib.rs.
#define H2O_USE_EPOLL 1
#define H2O_USE_LIBUV 0
#include <h2o.h>
#include <h2o/http1.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define LONGEST (10 << 20)
#define IDLE_MS (600 * 1000)

static h2o_globalconf_t config;
static struct sockaddr_in address = {.sin_family = AF_INET};
static char *letters;

typedef struct {
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    int listener;
} worker_t;

static int reply(h2o_req_t *request, const char *type, const char *bytes, size_t length) {
    static h2o_generator_t generator = {NULL, NULL};
    h2o_iovec_t body = h2o_iovec_init(bytes, length);
    request->res.status = 200;
    request->res.reason = "OK";
    request->res.content_length = length;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, strlen(type));
    h2o_start_response(request, &generator);
    h2o_send(request, &body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

static int plaintext(h2o_handler_t *self, h2o_req_t *request) { return reply(request, "text/plain", "Hello, World!", 13); }

static int echo(h2o_handler_t *self, h2o_req_t *request) {
    return reply(request, "application/octet-stream", request->entity.base, request->entity.len);
}

static int bytes(h2o_handler_t *self, h2o_req_t *request) {
    char digits[16] = "";
    size_t prefix = strlen("/bytes/"), length = request->path.len - prefix;
    if (length < sizeof digits)
        memcpy(digits, request->path.base + prefix, length);
    long count = atol(digits);
    if (count < 1 || count > LONGEST)
        return -1;
    return reply(request, "application/octet-stream", letters, count);
}

static void on_accept(h2o_socket_t *listener, const char *error) {
    worker_t *worker = listener->data;
    h2o_socket_t *socket;
    if (error != NULL)
        return;
    for (int i = 0; i < 64 && (socket = h2o_evloop_socket_accept(listener)) != NULL; i++)
        h2o_accept(&worker->accept, socket);
}

// Opens the listener of a worker: the first one chooses a port, the others share it.
static int listen_there(void) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (void *)&address, sizeof address) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (void *)&address, &length) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

static void *run(void *argument) {
    worker_t *worker = argument;
    h2o_context_init(&worker->context, h2o_evloop_create(), &config);
    worker->accept.ctx = &worker->context;
    worker->accept.hosts = config.hosts;
    h2o_socket_t *listener =
        h2o_evloop_socket_create(worker->context.loop, worker->listener, H2O_SOCKET_FLAG_DONT_READ);
    listener->data = worker;
    h2o_socket_read_start(listener, on_accept);
    for (;;)
        h2o_evloop_run(worker->context.loop, INT32_MAX);
    return NULL;
}

static void route(h2o_hostconf_t *host, const char *path, int (*handle)(h2o_handler_t *, h2o_req_t *)) {
    h2o_handler_t *handler = h2o_create_handler(h2o_config_register_path(host, path, 0), sizeof *handler);
    handler->on_req = handle;
}

int main(int argc, char **argv) {
    int workers = 1;
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--workers") == 0)
            workers = atoi(argv[i + 1]);
    signal(SIGPIPE, SIG_IGN);
    letters = malloc(LONGEST);
    memset(letters, 'x', LONGEST);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    h2o_config_init(&config);
    config.http1.req_timeout = IDLE_MS;
    config.http1.upgrade_to_http2 = 0;
    config.max_request_entity_size = LONGEST;
    config.server_name = h2o_iovec_init("peer", 4);
    h2o_hostconf_t *host = h2o_config_register_host(&config, h2o_iovec_init("default", 7), 65535);
    route(host, "/plaintext", plaintext);
    route(host, "/echo", echo);
    route(host, "/bytes", bytes);
    worker_t *all = calloc(workers, sizeof *all);
    for (int i = 0; i < workers; i++)
        all[i].listener = listen_there();
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (int i = 1; i < workers; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, run, &all[i]);
    }
    run(&all[0]);
}
