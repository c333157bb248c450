//! The example `https_hello` with the clients that people have: curl, openssl, Python. What is not installed is SKIPPED.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// The example, and the certificate that it has made.
struct Hello {
    child: Child,
    address: String,
    certificate: PathBuf,
}

impl Hello {
    fn start(name: &str) -> Self {
        let certificate = std::env::temp_dir().join(format!("aurora-{name}-{}.pem", std::process::id()));
        let mut path = std::env::current_exe().unwrap();
        path.pop(); // the test's name
        path.pop(); // deps
        let mut child = Command::new(path.join("examples/https_hello"))
            .args(["--addr", "127.0.0.1:0", "--workers", "2", "--save"])
            .arg(&certificate)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("https_hello does not start ({error}): cargo build --examples"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(" tls=up to "), "{line}");
        let address = line.split_whitespace().nth(2).unwrap().to_owned();
        Self { child, address, certificate }
    }

    fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.certificate);
    }
}

/// Runs a client that ends by itself; `None`, and a line, if it is not installed.
fn run(command: &mut Command, input: &str) -> Option<Output> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else {
        println!("SKIPPED: {} is not installed", command.get_program().display());
        return None;
    };
    // A client whose handshake fails may end before it has read anything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Some(child.wait_with_output().unwrap())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_trusts_the_certificate_and_only_with_it() {
    let hello = Hello::start("curl");
    let url = format!("https://localhost:{}/", hello.port());
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-v", "--noproxy", "*", "--max-time", "20"]);
    curl.arg("--cacert").arg(&hello.certificate).args([&url, &url]);
    let Some(output) = run(&mut curl, "") else { return };
    let seen = text(&output);
    assert!(output.status.success(), "{seen}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello over TLSv1.3!\n".repeat(2));
    assert!(seen.contains("server accepted http/1.1"), "{seen}");
    assert!(seen.contains("Re-using existing connection"), "{seen}");
    let mut stranger = Command::new("curl");
    let output = run(stranger.args(["-sS", "--noproxy", "*", "--max-time", "20", &url]), "").unwrap();
    assert_eq!(output.status.code(), Some(60), "{}", text(&output));
    let mut plain = Command::new("curl");
    let output = run(plain.args(["-sS", "--noproxy", "*", "--max-time", "20"]).arg(url.replace("https", "http")), "");
    assert!(text(&output.unwrap()).contains("This port speaks HTTPS"));
}

#[test]
fn openssl_gets_tls_1_2_and_1_3_and_nothing_older() {
    let hello = Hello::start("openssl");
    let connect = |arguments: &[&str], input: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &hello.address, "-servername", "localhost", "-verify_return_error"]);
        openssl.arg("-CAfile").arg(&hello.certificate);
        run(openssl.args(arguments), input).map(|output| (output.status.success(), text(&output)))
    };
    let request = "GET / HTTP/1.0\r\n\r\n";
    // `-ign_eof` reads until the server ends the connection, which without a close_notify would be an error.
    for (option, version, cipher) in [("-tls1_2", "TLSv1.2", "ECDHE-ECDSA-"), ("-tls1_3", "TLSv1.3", "TLS_AES_")] {
        let Some((success, seen)) = connect(&[option, "-ign_eof", "-alpn", "h2,http/1.1"], request) else { return };
        assert!(success && seen.contains(&format!("Hello over {version}!")), "{seen}");
        assert!(seen.contains("ALPN protocol: http/1.1") && seen.contains(cipher), "{seen}");
        assert!(seen.contains("Verify return code: 0 (ok)") && !seen.contains("unexpected eof"), "{seen}");
    }
    // At its lowest security level openssl offers everything it has.
    let old: [&[&str]; 5] = [
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0"], // no forward secrecy
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"], // CBC
        &["-tls1_2", "-cipher", "NULL:@SECLEVEL=0"],
    ];
    for arguments in old {
        let (success, seen) = connect(arguments, request).unwrap();
        assert!(!success && !seen.contains("Hello over"), "{arguments:?}: {seen}");
    }
    // A session is resumed by a later connection.
    let session = hello.certificate.with_extension("session");
    let session_path = session.to_string_lossy().into_owned();
    let (_, seen) = connect(&["-ign_eof", "-sess_out", &session_path], request).unwrap();
    assert!(seen.contains("New, TLSv1.3"), "{seen}");
    let (_, seen) = connect(&["-ign_eof", "-sess_in", &session_path], request).unwrap();
    assert!(seen.contains("Reused, TLSv1.3"), "{seen}");
    let _ = std::fs::remove_file(session);
}

const PYTHON: &str = r#"
import http.client, socket, ssl, sys
port, certificate = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=certificate)
# Ends that are not announced are errors.
context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    for _ in range(3):
        connection.request("GET", "/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"Hello over %s!\n" % connection.sock.version().encode())
    connection.sock.unwrap()  # waits for the close_notify in return
context.minimum_version = ssl.TLSVersion.TLSv1_2
with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost") as sock:
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    data = b""
    while piece := sock.recv(4096):
        data += piece
    assert data.endswith(b"!\n"), data
print("all is well")
"#;

#[test]
fn python_sees_every_end_announced() {
    let hello = Hello::start("python");
    let mut python = Command::new("python3");
    python.args(["-", hello.port()]).arg(&hello.certificate);
    let Some(output) = run(&mut python, PYTHON) else { return };
    let seen = text(&output);
    if seen.contains("No module named") {
        return println!("SKIPPED: this Python lacks a module: {seen}");
    }
    assert!(output.status.success() && seen.contains("all is well"), "{seen}");
}
