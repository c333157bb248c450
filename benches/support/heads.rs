//! Heads as clients send them.

#![allow(dead_code, reason = "each program uses a part of it")]

/// The shortest legal head.
pub(crate) const BARE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// What wrk sends by default.
pub(crate) const WRK: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

/// A browser's head, about 1 KiB with its cookies.
pub(crate) const BROWSER: &[u8] = b"GET /articles/2024/parsing-http?utm_source=feed&page=2 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/articles/2024/\r\n\
    Connection: keep-alive\r\n\
    Cookie: _ga=GA1.2.1234567890.1700000000; session=8d1e6a9c4b7f40e2a3c5d7e9f1b3a5c7; theme=dark; consent=eyJhbmFs\
eXRpY3MiOnRydWUsImFkcyI6ZmFsc2UsInZlcnNpb24iOjN9; _gid=GA1.2.987654321.1700000001; csrftoken=Zk3vJ0q9Yw8bX7nM5tR2p\
L1sD4fG6hK0; last_seen=2024-06-12T08%3A30%3A00Z; ab_test=variant-b; locale=en_GB; prefs=eyJmb250U2l6ZSI6MTYs\
ImxheW91dCI6IndpZGUiLCJub3RpZmljYXRpb25zIjpmYWxzZX0; cart=5f2b9c1e-8a7d-4f36-b0e5-c4d3a2918f70; visits=42\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-User: ?1\r\n\
    Priority: u=0, i\r\n\
    \r\n";

/// An API client's head, about 1.5 KiB with its signed token.
pub(crate) const API: &[u8] = b"POST /v2/accounts/7f3c9a52-1d84-4c0b-9e6f-2b8a5d7c1e40/transactions?expand=merchant \
    HTTP/1.1\r\n\
    Host: api.example.com:8443\r\n\
    User-Agent: payments-client/4.12.0 (linux; x86_64)\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip\r\n\
    Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IjIwMjQtMDYtMDEifQ.eyJpc3MiOiJodHRwczovL2F1dGguZX\
hhbXBsZS5jb20vIiwic3ViIjoiYXV0aDB8NjY2ZjZlNjQ2ZjZlMjA2ZTZmIiwiYXVkIjpbImh0dHBzOi8vYXBpLmV4YW1wbGUuY29tIiwiaHR0cHM6\
Ly9leGFtcGxlLmV1LmF1dGguZXhhbXBsZS5jb20vdXNlcmluZm8iXSwiaWF0IjoxNzE4MTgxMDAwLCJleHAiOjE3MTgyNjc0MDAsImF6cCI6IlBheW1l\
bnRzQ2xpZW50VmVyc2lvbjQiLCJzY29wZSI6Im9wZW5pZCBwcm9maWxlIGFjY291bnRzOnJlYWQgdHJhbnNhY3Rpb25zOnJlYWQgdHJhbnNhY3Rpb25z\
OndyaXRlIG9mZmxpbmVfYWNjZXNzIiwicGVybWlzc2lvbnMiOlsiYWNjb3VudHM6cmVhZCIsInRyYW5zYWN0aW9uczpyZWFkIiwidHJhbnNhY3Rpb25z\
OndyaXRlIl19.Qm9ndXNTaWduYXR1cmVCeXRlc1RoYXRBcmVMb25nRW5vdWdoVG9Mb29rTGlrZUFuUlNBU2lnbmF0dXJlT2YyMDQ4Qml0c0FuZFRoZW5T\
b21lTW9yZUJ5dGVzVG9GaWxsVGhlTGluZVVwVG9UaGVMZW5ndGhUaGF0SXNVc3VhbEluUHJhY3RpY2VGb3JTdWNoVG9rZW5zSW5UaGVXaWxkV2l0aEtle\
XNPZlRoaXNTaXplLUFuZC1Tb21lLU1vcmUtU28tVGhhdC1UaGUtU2lnbmF0dXJlLUhhcy1JdHMtRnVsbC1MZW5ndGgtT2YtVGhyZWUtSHVuZHJl\
ZC1BbmQtRm9ydHktVHdvLUJhc2U2NC1DaGFyYWN0ZXJzLUFzLUl0LVdvdWxkLUhhdmUtSW4tVGhlLVJlYWwtV29ybGQ\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 348\r\n\
    Idempotency-Key: 0b9f8e7d-6c5b-4a39-8271-605f4e3d2c1b\r\n\
    X-Request-Id: 01HZX3V9K4T7W2QY8N5RBM6CDE\r\n\
    Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\
    Connection: keep-alive\r\n\
    \r\n";

/// All heads, by name.
pub(crate) const HEADS: [(&str, &[u8]); 4] = [("bare", BARE), ("wrk", WRK), ("browser", BROWSER), ("api", API)];
