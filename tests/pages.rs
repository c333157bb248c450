//! The pages of `chat`, `events` and `form` in a headless Chromium, driven through its DevTools protocol. SKIPPED where there is none.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use example::Example;
use rustix::process::Signal;
use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// A browser takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Browser {
    child: Child,
    profile: PathBuf,
    tools: WebSocket<MaybeTlsStream<TcpStream>>,
    calls: u64,
}

/// One page, by the session that its target has.
struct Page(String);

impl Browser {
    /// `None`, and a line, if there is no Chromium.
    fn start(name: &str) -> Option<Self> {
        let profile = std::env::temp_dir().join(format!("aurora-{name}-{}", std::process::id()));
        let start = |program: &&str| {
            Command::new(program)
                .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--no-first-run"])
                .arg("--remote-debugging-port=0")
                .arg(format!("--user-data-dir={}", profile.display()))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .ok()
        };
        let Some(mut child) = ["chromium", "chromium-browser", "google-chrome"].iter().find_map(start) else {
            println!("SKIPPED: there is no Chromium to look at the page with");
            return None;
        };
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (tell, told) = channel();
        thread::spawn(move || {
            // Read to the end, so that it never waits for us.
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let begun = Instant::now();
        let address = loop {
            match told.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => match line.strip_prefix("DevTools listening on ") {
                    Some(address) => break address.to_owned(),
                    None => continue,
                },
                Err(_) => {
                    println!("SKIPPED: Chromium does not start here");
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
            }
        };
        let (tools, _) = tungstenite::connect(address).expect("its tools");
        Some(Self { child, profile, tools, calls: 0 })
    }

    /// The result of a call, or the browser's error.
    fn try_call(&mut self, page: Option<&Page>, method: &str, parameters: &Value) -> Result<Value, Value> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(Page(session)) = page {
            call["sessionId"] = json!(session);
        }
        self.tools.send(Message::text(call.to_string())).expect("a browser");
        loop {
            let Message::Text(text) = self.tools.read().expect("a browser") else { continue };
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["id"] == json!(self.calls) {
                return if answer["error"].is_null() { Ok(answer["result"].clone()) } else { Err(answer) };
            }
        }
    }

    fn call(&mut self, page: Option<&Page>, method: &str, parameters: &Value) -> Value {
        self.try_call(page, method, parameters).unwrap_or_else(|answer| panic!("{method}: {answer}"))
    }

    fn open(&mut self, url: &str) -> Page {
        let target = self.call(None, "Target.createTarget", &json!({ "url": url }));
        let parameters = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", &parameters);
        Page(session["sessionId"].as_str().expect("a session").to_owned())
    }

    fn run(&mut self, page: &Page, script: &str) -> Value {
        self.try_run(page, script).unwrap_or_else(|answer| panic!("{script}: {answer}"))
    }

    fn try_run(&mut self, page: &Page, script: &str) -> Result<Value, Value> {
        let parameters = json!({ "expression": script, "returnByValue": true });
        let result = self.try_call(Some(page), "Runtime.evaluate", &parameters)?;
        Ok(result["result"]["value"].clone())
    }

    /// Waits until an expression is true. While the page changes to another one, nothing can be evaluated.
    fn wait(&mut self, page: &Page, script: &str) {
        let begun = Instant::now();
        while self.try_run(page, script) != Ok(json!(true)) {
            let seen = self.try_run(page, "document.body.innerText");
            assert!(begun.elapsed() < PATIENCE, "{script} does not become true: {seen:?}");
            thread::yield_now();
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

#[test]
fn what_one_says_in_the_chat_the_other_one_sees() {
    let Some(mut browser) = Browser::start("chat") else { return };
    let server = Example::start("chat", &["--workers", "2"]);
    let pages = [0, 1].map(|_| browser.open(&format!("http://{}/", server.address)));
    for page in &pages {
        browser.wait(page, "document.body.innerText.includes('You are in the room.')");
    }
    // Browsers offer compression; they take their contexts over only if they may.
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(browser.run(&pages[0], "socket.extensions"), json!(agreed));
    let long = "long enough to be compressed, ".repeat(1_000);
    for text in ["hello", "<b>no markup</b>", "grüß dich 🎉", &long] {
        browser.run(&pages[0], &format!("line.value = {}; form.requestSubmit()", json!(text)));
        for page in &pages {
            browser.wait(page, &format!("said.lastChild.textContent === {}", json!(text)));
        }
    }
    server.signal(Signal::TERM);
    for page in &pages {
        browser.wait(page, "said.textContent.includes('The connection has ended (1001)')");
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn events_appear_on_the_page_and_go_on_after_a_restart() {
    let Some(mut browser) = Browser::start("events") else { return };
    let server = Example::start("events", &["--workers", "1"]);
    let address = server.address;
    let page = browser.open(&format!("http://{address}/"));
    browser.wait(&page, "list.children.length >= 3 && state.textContent === 'connected'");
    let follow =
        "[...list.children].map(i => +i.textContent.split(' ')[1]).every((n, i, all) => !i || n + 1 === all[i - 1])";
    browser.wait(&page, follow);
    server.ends_well();
    browser.wait(&page, "state.textContent === 'connecting again'");
    // The address is free again, unless another program was faster.
    let mut command = example::example("events");
    let server = Example::start_command("events", command.args(["--workers", "1", "--addr", &address.to_string()]));
    browser.run(&page, "list.replaceChildren()");
    browser.wait(&page, "state.textContent === 'connected' && list.children.length >= 2");
    drop(server);
}

#[test]
fn a_browser_sends_a_form_with_files() {
    let Some(mut browser) = Browser::start("form") else { return };
    let folder = std::env::temp_dir().join(format!("aurora-form-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let server = Example::start_with("form", &["--workers", "1"], &[("TMPDIR", folder.to_str().expect("text"))]);
    let page = browser.open(&format!("http://{}/", server.address));
    browser.wait(&page, "document.forms.length === 1");
    // Without a file, and then with two of names that need care. A script cannot choose files, so it fills the control as a drop does.
    let fill = "const files = new DataTransfer(); const at = document.forms[0].elements;
        for (const [name, text] of [['grüße \"1\" 100%22.txt', 'line\\r\\nline'], ['empty', '']]) files.items.add(new File([text], name));
        at.files.files = files.files; at.from.value = 'me & \\u{1f389}'";
    // The page may be gone before the browser answers.
    let _ =
        browser.try_run(&page, "document.forms[0].elements.from.value = 'nobody'; document.forms[0].requestSubmit()");
    browser.wait(&page, "document.body.innerText === 'from nobody:\\n'");
    let page = browser.open(&format!("http://{}/", server.address));
    browser.wait(&page, "document.forms.length === 1");
    let _ = browser.try_run(&page, &format!("{fill}; document.forms[0].requestSubmit()"));
    browser.wait(&page, "document.body.innerText.startsWith('from me & \u{1f389}:')");
    // What looks like an escape cannot be told from one.
    assert_eq!(fs::read(folder.join("grüße \"1\" 100\".txt")).expect("a file"), b"line\r\nline");
    assert_eq!(fs::read(folder.join("empty")).expect("a file"), b"");
    server.ends_well();
    let _ = fs::remove_dir_all(folder);
}
