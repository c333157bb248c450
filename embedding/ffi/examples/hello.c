/* A program in C with a server in its loop around poll(2): GET /hello and POST /echo. SIGTERM ends it once what is under way
 * is finished. */
#include "aurora.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int signal_pipe[2];

static void on_signal(int number) {
    char byte = (char)number;
    int before = errno;
    if (write(signal_pipe[1], &byte, 1) < 0) {
        /* The pipe is full: the loop knows already. */
    }
    errno = before;
}

static void hello(const aurora_request *request, aurora_response *response, void *context) {
    const char *greeting = context;
    (void)request;
    aurora_response_field(response, "Content-Type", "text/plain");
    aurora_response_body(response, (const uint8_t *)greeting, strlen(greeting));
}

static void echo(const aurora_request *request, aurora_response *response, void *context) {
    unsigned *count = context;
    aurora_bytes content = aurora_request_content(request);
    aurora_bytes type = aurora_request_field(request, "content-type");
    char text[128];
    *count += 1;
    if (type.len > 0 && type.len < sizeof text) {
        memcpy(text, type.data, type.len);
        text[type.len] = 0;
        aurora_response_field(response, "Content-Type", text);
    }
    aurora_response_body(response, content.data, content.len);
}

int main(int argc, char **argv) {
    static char greeting[] = "Hello, World!\n";
    unsigned echoes = 0;
    int state;
    aurora_server *server = aurora_new(argc > 1 ? argv[1] : "127.0.0.1:8080", 256, 4 * 1024 * 1024);
    if (server == NULL || aurora_route(server, "GET", "/hello", hello, greeting) != AURORA_OK ||
        aurora_route(server, "POST", "/echo", echo, &echoes) != AURORA_OK || aurora_listen(server) != AURORA_OK ||
        pipe(signal_pipe) != 0 || signal(SIGTERM, on_signal) == SIG_ERR) {
        fprintf(stderr, "Error: %s\n", aurora_error());
        aurora_free(server);
        return 1;
    }
    printf("listening on 127.0.0.1:%u\n", (unsigned)aurora_port(server));
    fflush(stdout);
    while ((state = aurora_poll(server)) == AURORA_RUNNING) {
        struct pollfd watched[] = {{.fd = aurora_fd(server), .events = POLLIN}, {.fd = signal_pipe[0], .events = POLLIN}};
        char byte;
        if (poll(watched, 2, aurora_timeout_ms(server)) > 0 && watched[1].revents != 0 && read(signal_pipe[0], &byte, 1) == 1) {
            aurora_stop(server);
        }
    }
    if (state == AURORA_ERROR) {
        fprintf(stderr, "Error: %s\n", aurora_error());
    }
    aurora_free(server);
    fprintf(stderr, "%u echoes\n", echoes);
    return state == AURORA_OK ? 0 : 1;
}
