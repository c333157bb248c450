//! A whole server over loopback: one connection, one request after the other. The figure includes both ends' system calls;
//! it is for comparing builds, not servers.
#![cfg(unix)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;

use aurora_http::{Limits, ResponseWriter, Server, handler_fn};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn loopback(criterion: &mut Criterion) {
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let running = Server::bind("127.0.0.1:0")
        .and_then(|server| {
            server.workers(1).connections(64).limits(limits).start(|_worker| {
                handler_fn(|_request, response: &mut ResponseWriter<'_>| response.body("Hello, World!\n"))
            })
        })
        .expect("a port is free");
    let mut stream = TcpStream::connect(running.local_addr()).expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut response = [0; 16_384];
    stream.write_all(REQUEST).expect("it is open");
    let length = stream.read(&mut response).expect("it answers");

    let mut group = criterion.benchmark_group("loopback");
    for pipelined in [1, 16] {
        let requests = REQUEST.repeat(pipelined);
        group.throughput(Throughput::Elements(pipelined as u64));
        group.bench_function(format!("x{pipelined}"), |bencher| {
            bencher.iter(|| {
                stream.write_all(black_box(&requests)).expect("it is open");
                stream.read_exact(&mut response[..length * pipelined]).expect("it answers");
            });
        });
    }
    group.finish();
    drop(stream);
    running.stop();
    assert_eq!(running.join().unwrap().failed_workers(), 0);
}

criterion_group!(benches, loopback);
criterion_main!(benches);
