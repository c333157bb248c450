//! How long a server takes to start, and to stop when idle: `cargo bench --bench lifecycle`.

#[cfg(has_backend)]
mod lifecycle {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use aurora_http::{Running, Server, handler_fn};
    use criterion::Criterion;

    fn start() -> Running {
        let server = Server::bind("127.0.0.1:0").and_then(|server| {
            server.workers(2).start(|_worker| handler_fn(|_request, response| response.body("Hello, World!\n")))
        });
        server.expect("a server with the default configuration starts")
    }

    fn stop(running: Running) {
        running.stop();
        let _ = black_box(running.join().unwrap());
    }

    pub(super) fn measure() {
        let mut criterion = Criterion::default().configure_from_args();
        criterion.bench_function("start", |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let begun = Instant::now();
                    let running = start();
                    spent += begun.elapsed();
                    stop(running);
                }
                spent
            });
        });
        criterion.bench_function("stop", |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let running = start();
                    let begun = Instant::now();
                    stop(running);
                    spent += begun.elapsed();
                }
                spent
            });
        });
        criterion.final_summary();
    }
}

fn main() {
    #[cfg(has_backend)]
    lifecycle::measure();
}
