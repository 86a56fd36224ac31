/* An HTTP/1.1 load client: keep-alive connections that POST bodies from a file, in a closed loop or at a fixed rate.

   load HOST PORT PATH BODIES CONNECTIONS SECONDS RATE LATENCIES

   HOST is an IPv4 address; BODIES holds one JSON body a line. With RATE 0 every connection asks again as soon as it
   is answered. Otherwise requests fall due evenly, RATE a second in all, and the time that one waits for a free
   connection counts (no coordinated omission). LATENCIES receives one float32 of microseconds per success.
   Prints {"requests": n, "failed": n, "seconds": s}; an answer without 2xx, or none, has failed. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HEAD_BYTES 16384
#define PATIENCE_SECONDS 10.0
#define BETWEEN_SECONDS 0.002 /* of new connections: opened all at once, one worker of several might take them all */

typedef struct {
    int fd, busy, status;
    double began;
    size_t got;        /* bytes of the head so far */
    long left;         /* bytes of the body to come; -1 until the head is whole */
    char head[HEAD_BYTES];
} Connection;

static struct sockaddr_in address;
static Connection *connections;
static char **requests;
static size_t *lengths, bodies, sent, answered, failed, room;
static float *latencies;
static int poller;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void read_bodies(const char *file, const char *host, int port, const char *path) {
    FILE *in = fopen(file, "r");
    char *line = NULL;
    size_t size = 0, most = 0;
    ssize_t length;
    if (!in) die(file);
    while ((length = getline(&line, &size, in)) > 0) {
        if (line[length - 1] == '\n') length--;
        if (bodies == most) {
            most = most ? 2 * most : 1024;
            requests = realloc(requests, most * sizeof *requests);
            lengths = realloc(lengths, most * sizeof *lengths);
            if (!requests || !lengths) die("memory");
        }
        int made = asprintf(&requests[bodies],
                            "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n"
                            "Content-Length: %zd\r\n\r\n%.*s",
                            path, host, port, length, (int)length, line);
        if (made < 0) die("memory");
        lengths[bodies++] = (size_t)made;
    }
    free(line);
    fclose(in);
    if (!bodies) { fprintf(stderr, "load: no bodies in %s\n", file); exit(1); }
}

static int open_connection(int at) {
    Connection *c = &connections[at];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)at};
    int one = 1;
    c->busy = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(c->fd);
        c->fd = -1;
        return 0;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
    return 1;
}

static void fail(int at) {
    failed++;
    if (connections[at].fd >= 0) close(connections[at].fd);
    connections[at].fd = -1;
    connections[at].busy = 0;
}

static void ask(int at, double began) {
    Connection *c = &connections[at];
    size_t which = sent++ % bodies, done = 0;
    if (c->fd < 0 && !open_connection(at)) { fail(at); usleep(1000); return; }
    c->busy = 1;
    c->began = began;
    c->got = 0;
    c->left = -1;
    while (done < lengths[which]) {
        ssize_t wrote = send(c->fd, requests[which] + done, lengths[which] - done, MSG_NOSIGNAL);
        if (wrote <= 0) { fail(at); return; }
        done += (size_t)wrote;
    }
}

static void finish(int at) {
    Connection *c = &connections[at];
    c->busy = 0;
    if (c->status < 200 || c->status > 299) { failed++; return; }
    if (answered == room) {
        room = room ? 2 * room : 65536;
        latencies = realloc(latencies, room * sizeof *latencies);
        if (!latencies) die("memory");
    }
    latencies[answered++] = (float)((now() - c->began) * 1e6);
}

/* How long the body is, once the head is whole; -1 before, -2 where the head does not say. */
static long body_length(Connection *c, size_t *head_length) {
    c->head[c->got] = 0;
    char *end = strstr(c->head, "\r\n\r\n"), *line;
    if (!end) return -1;
    *head_length = (size_t)(end - c->head) + 4;
    if (sscanf(c->head, "HTTP/1.%*d %d", &c->status) != 1) return -2;
    for (line = c->head; line && line < end; line = strstr(line, "\r\n")) {
        if (*line == '\r') line += 2;
        if (!strncasecmp(line, "content-length:", 15)) return strtol(line + 15, NULL, 10);
        line++;
    }
    return -2;
}

static void hear(int at) {
    static char rest[65536];
    Connection *c = &connections[at];
    ssize_t read;
    if (!c->busy) {  /* nothing is awaited: the other end has closed, the next request opens again */
        close(c->fd);
        c->fd = -1;
        return;
    }
    if (c->left < 0) {
        size_t head_length = 0;
        read = recv(c->fd, c->head + c->got, HEAD_BYTES - 1 - c->got, MSG_DONTWAIT);
        if (read < 0 && errno == EAGAIN) return;
        if (read <= 0) { fail(at); return; }
        c->got += (size_t)read;
        long length = body_length(c, &head_length);
        if (length == -2 || (length == -1 && c->got >= HEAD_BYTES - 1)) { fail(at); return; }
        if (length == -1) return;
        c->left = length - (long)(c->got - head_length);
    }
    while (c->left > 0) {
        read = recv(c->fd, rest, sizeof rest, MSG_DONTWAIT);
        if (read < 0 && errno == EAGAIN) return;
        if (read <= 0) { fail(at); return; }
        c->left -= read;
    }
    finish(at);
}

static int idle(int count) {
    static int last;
    for (int i = 0; i < count; i++) {
        last = (last + 1) % count;
        if (!connections[last].busy) return last;
    }
    return -1;
}

static int waiting(int count) {
    int busy = 0;
    for (int i = 0; i < count; i++) busy += connections[i].busy;
    return busy;
}

int main(int argc, char **argv) {
    if (argc != 9) { fprintf(stderr, "load HOST PORT PATH BODIES CONNECTIONS SECONDS RATE LATENCIES\n"); return 2; }
    int port = atoi(argv[2]), count = atoi(argv[5]), at;
    double seconds = atof(argv[6]), rate = atof(argv[7]);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || count < 1) die("arguments");
    read_bodies(argv[4], argv[1], port, argv[3]);
    connections = calloc((size_t)count, sizeof *connections);
    poller = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!connections || poller < 0 || timer < 0) die("set-up");
    struct epoll_event tick = {.events = EPOLLIN, .data.u32 = (unsigned)count};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, timer, &tick) < 0) die("epoll_ctl");
    if (!open_connection(0)) die("connect");
    for (at = 1; at < count; at++) connections[at].fd = -1;
    double start = now(), end = start + seconds, stop = end + PATIENCE_SECONDS, last = start;
    size_t due = (size_t)ceil(seconds * rate), begun = 0;
    for (;;) {
        double present = now();
        if (rate > 0) {
            while (begun < due && start + begun / rate <= present && (at = idle(count)) >= 0)
                ask(at, start + begun++ / rate);
        } else {
            for (at = 0; at < count && present < end && present >= start + at * BETWEEN_SECONDS; at++)
                if (!connections[at].busy) ask(at, now());
        }
        present = now();
        int open = rate > 0 ? begun < due : present < end;
        if (present > stop || (!open && !waiting(count))) break;
        if (rate > 0 && open) {
            double until = start + begun / rate;
            if (until > present) {
                struct itimerspec spec = {.it_value = {(time_t)until, (long)((until - (time_t)until) * 1e9) + 1}};
                timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
            }
        }
        struct epoll_event events[64];
        int starting = rate <= 0 && present < start + count * BETWEEN_SECONDS;
        int found = epoll_wait(poller, events, 64, starting ? 1 : 100);
        if (found < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < found; i++) {
            if (events[i].data.u32 == (unsigned)count) {
                unsigned long long ticks;
                if (read(timer, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("timer");
            } else {
                hear((int)events[i].data.u32);
                last = now();
            }
        }
    }
    failed += (size_t)waiting(count) + (rate > 0 ? due - begun : 0);
    FILE *out = fopen(argv[8], "wb");
    if (!out || fwrite(latencies, sizeof *latencies, answered, out) != answered || fclose(out)) die(argv[8]);
    printf("{\"requests\": %zu, \"failed\": %zu, \"seconds\": %.6f}\n", answered, failed, last - start);
    return 0;
}
