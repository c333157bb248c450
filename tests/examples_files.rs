//! The example `serve_dir`, asked by curl and Python.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use backends::backends;
use example::Example;

/// A folder for temporary files, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aurora-serve-dir-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("www/docs")).expect("a folder");
        let folder = Self(path);
        fs::write(folder.www().join("long.bin"), http::pattern(20_000_000)).expect("a file");
        fs::write(folder.www().join("hello.txt"), "Hello, World!\n").expect("a file");
        fs::write(folder.www().join("docs/index.html"), "<p>index").expect("a file");
        fs::write(folder.www().join("index.html"), "<p>home").expect("a file");
        fs::write(folder.0.join("secret"), "secret").expect("a file");
        folder
    }

    fn www(&self) -> PathBuf {
        self.0.join("www")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program prints; `None` if it is not installed.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            println!("SKIPPED: {program}: {error}");
            None
        }
    }
}

fn same(one: &Path, other: &Path) -> bool {
    fs::read(one).expect("a file") == fs::read(other).expect("a file")
}

#[test]
fn curl_loads_resumes_and_asks_conditionally() {
    for backend in backends() {
        let folder = Folder::new(&format!("curl-{backend}"));
        let backend = backend.to_string();
        let server =
            Example::start("serve_dir", &[folder.www().to_str().expect("text"), "--backend", &backend, "--quiet"]);
        let url = |path: &str| format!("http://{}{path}", server.address);
        let (long, copy) = (folder.www().join("long.bin"), folder.0.join("copy"));
        let copy_name = copy.to_str().expect("text");
        let Some(status) = output("curl", &["-s", "-o", copy_name, "-w", "%{http_code}", &url("/long.bin")]) else {
            return;
        };
        assert!(status == "200" && same(&long, &copy), "{status}");
        let part = fs::File::options().write(true).open(&copy).expect("a file");
        part.set_len(12_345_678).expect("shorter");
        let resumed = ["-s", "-C", "-", "-o", copy_name, "-w", "%{http_code} %{size_download}", &url("/long.bin")];
        assert_eq!(output("curl", &resumed).as_deref(), Some("206 7654322"));
        assert!(same(&long, &copy));
        let code = ["-s", "-o", "/dev/null", "-w", "%{http_code}"];
        let ask = |more: &[&str]| output("curl", &[&code[..], more].concat()).expect("it is there");
        assert_eq!(ask(&["-I", &url("/hello.txt")]), "200");
        assert_eq!(ask(&["-r", "0-4", &url("/hello.txt")]), "206");
        assert_eq!(ask(&["-r", "99-", &url("/hello.txt")]), "416");
        assert_eq!(ask(&["-z", "Fri, 01 Jan 2038 00:00:00 GMT", &url("/hello.txt")]), "304");
        assert_eq!(ask(&["--path-as-is", &url("/../secret")]), "400");
        assert_eq!(ask(&["--path-as-is", &url("/..%2fsecret")]), "404");
        assert_eq!(ask(&[&url("/docs")]), "301");
        let tag = folder.0.join("tag");
        let tag_name = tag.to_str().expect("text");
        assert_eq!(ask(&["--etag-save", tag_name, &url("/hello.txt")]), "200");
        assert_eq!(ask(&["--etag-compare", tag_name, &url("/hello.txt")]), "304");
        assert_eq!(output("curl", &["-sL", &url("/docs")]).as_deref(), Some("<p>index"));
        server.ends_well();
    }
}

#[test]
fn its_options_do_what_they_say() {
    let folder = Folder::new("options");
    let www = folder.www();
    let arguments = [www.to_str().expect("text"), "--spa", "--cors", "--cache", "60", "--no-index"];
    let (server, mut log) = Example::start_logged("serve_dir", &arguments);
    let Some(head) = output("curl", &["-sI", &format!("http://{}/users/17", server.address)]) else { return };
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Access-Control-Allow-Origin: *\r\n"), "{head}");
    assert!(head.contains("Cache-Control: max-age=60\r\n"), "{head}");
    let listing = output("curl", &["-s", &format!("http://{}/?sort=-size", server.address)]).expect("it is there");
    assert!(listing.contains("href=\"./docs/\"") && listing.contains("19.1 MiB"), "{listing}");
    let long = format!("http://{}/long.bin", server.address);
    assert_eq!(output("curl", &["-s", "-o", "/dev/null", &long]).as_deref(), Some(""));
    server.ends_well();
    let mut text = String::new();
    log.read_to_string(&mut text).expect("text");
    assert!(text.contains("\"HEAD /users/17 HTTP/1.1\" 200 "), "{text}");
    assert!(text.contains("/long.bin: begins, 0 % of 19 MiB"), "{text}");
    assert!(text.contains("/long.bin: sent, 100 % of 19 MiB"), "{text}");
}

#[test]
fn python_reads_files_and_ranges() {
    let folder = Folder::new("python");
    let server = Example::start("serve_dir", &[folder.www().to_str().expect("text"), "--quiet"]);
    let script = format!(
        "import urllib.request as web\n\
         url = 'http://{}'\n\
         print(web.urlopen(url + '/hello.txt').read())\n\
         asked = web.Request(url + '/long.bin', headers={{'Range': 'bytes=1000-1004'}})\n\
         print(list(web.urlopen(asked).read()))\n\
         print(len(web.urlopen(url + '/long.bin').read()))\n",
        server.address
    );
    if let Some(printed) = output("python3", &["-c", &script]) {
        assert_eq!(printed, "b'Hello, World!\\n'\n[247, 248, 249, 250, 0]\n20000000\n");
    }
}

#[test]
fn curl_gets_text_compressed_if_asked_for_and_everything_else_as_it_is() {
    let folder = Folder::new("compress");
    let text: String = (0..200_000).map(|number| format!("{number}\n")).collect();
    fs::write(folder.www().join("text.txt"), &text).expect("a file");
    for (options, coding) in [(&["--compress"][..], "gzip"), (&[], "")] {
        let server =
            Example::start("serve_dir", &[&[folder.www().to_str().expect("text"), "--quiet"], options].concat());
        for (name, coding) in [("text.txt", coding), ("long.bin", "")] {
            let (url, to) = (format!("http://{}/{name}", server.address), folder.0.join("got"));
            let wanted = ["-s", "--compressed", "-H", "Accept-Encoding: gzip", "-o", to.to_str().expect("text")];
            let Some(printed) = output("curl", &[&wanted[..], &["-w", "%header{content-encoding}", &url]].concat())
            else {
                return;
            };
            assert_eq!(printed, coding, "{name}");
            assert!(same(&to, &folder.www().join(name)), "{name}");
        }
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let ended = example::example("serve_dir").arg("/no/such/folder").output().expect("the example");
    assert!(!ended.status.success());
    let text = String::from_utf8_lossy(&ended.stderr);
    assert!(text.contains("/no/such/folder"), "{text}");
}
