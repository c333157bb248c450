//! Checks the style of this repository: layer boundaries, lengths, forbidden text.
//!
//! It scans text and does not parse Rust: comments, strings and test modules are blanked out first, then words are searched
//! for. Every failure names file and line.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/examples.rs"]
mod examples;
#[path = "tidy/twice.rs"]
mod twice;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest function, from its first line to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest file, tests not counted.
const FILE_LINES_MAX: usize = 600;

/// A source file with everything but code blanked out; lines and columns are preserved.
struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
    /// Without comments and the contents of strings.
    code: String,
    /// Also without `#[cfg(test)]` items.
    shipped: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` whose name `wanted` accepts, in order.
fn files(folder: &Path, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_generated = matches!(name.as_str(), ".git" | "target" | "corpus" | "artifacts");
        if path.is_dir() && !is_generated {
            files(&path, wanted, found);
        } else if path.is_file() && wanted(&name) {
            found.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The Rust sources below these folders.
fn sources(folders: &[String]) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        files(&root().join(folder), &|name| name.ends_with(".rs"), &mut paths);
    }
    paths.iter().map(|path| source(path)).collect()
}

fn source(path: &Path) -> Source {
    scan(&relative(path), fs::read_to_string(path).expect("a source file in UTF-8"))
}

fn scan(path: &str, text: String) -> Source {
    let code = blank_comments_and_strings(&text);
    let shipped = blank_tests(&code);
    Source { path: path.to_owned(), text, code, shipped }
}

/// The directories whose code is shipped.
fn shipped_folders() -> Vec<String> {
    let mut folders = [
        "compress/src",
        "core/src",
        "src",
        "files/src",
        "proxy/src",
        "sockets/src",
        "system/src",
        "tls/src",
        "web/src",
        "websocket/src",
    ]
    .map(str::to_owned)
    .to_vec();
    folders.extend(backends().iter().map(|backend| format!("{backend}/src")));
    folders
}

fn backends() -> Vec<String> {
    let all = fs::read_dir(root()).expect("the repository");
    let names = all.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut backends: Vec<String> = names.filter(|name| name.starts_with("backend-")).collect();
    backends.sort();
    assert!(backends.contains(&"backend-epoll".to_owned()), "{backends:?}");
    backends
}

/// Shipped sources without files that are only compiled for tests.
fn shipped_sources() -> Vec<Source> {
    let mut all = sources(&shipped_folders());
    let mut tests = BTreeSet::new();
    for source in &all {
        test_modules(source, &mut tests);
    }
    // Modules declared by a test module belong to the tests as well.
    loop {
        let before = tests.clone();
        for source in all.iter().filter(|source| before.contains(&source.path)) {
            tests.extend(declared_modules(source, &source.code).map(|(_, path)| path));
        }
        if tests.len() == before.len() {
            break;
        }
    }
    all.retain(|source| !tests.contains(&source.path));
    assert!(all.len() > 40, "only {} files are looked at", all.len());
    all
}

/// Files that `source` declares as modules under `#[cfg(test)]`.
fn test_modules(source: &Source, found: &mut BTreeSet<String>) {
    let shipped: BTreeSet<_> = declared_modules(source, &source.shipped).collect();
    let all: BTreeSet<_> = declared_modules(source, &source.code).collect();
    found.extend(all.difference(&shipped).map(|(_, path)| path.clone()));
}

/// Names and files of the modules that `code`, a version of `source`, declares with `mod name;`. A module that has different
/// files on different systems is listed with each of them.
fn declared_modules<'s>(source: &'s Source, code: &'s str) -> impl Iterator<Item = (String, String)> + 's {
    let path = Path::new(&source.path);
    let folder = path.parent().unwrap_or(path);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let own = if matches!(stem.as_str(), "mod" | "lib" | "main") { folder.to_owned() } else { folder.join(&stem) };
    let lines: Vec<&str> = source.text.lines().collect();
    code.lines().enumerate().flat_map(move |(at, line)| {
        let Some([name, "mod"]) = two_last_words(line) else { return Vec::new() };
        let mut candidates = vec![own.join(format!("{name}.rs")), own.join(name).join("mod.rs")];
        let attributes = lines[..at].iter().rev().take_while(|line| line.trim().starts_with("#["));
        let named = attributes.filter_map(|line| Some(line.split_once("path = \"")?.1.split_once('"')?.0));
        candidates.extend(named.map(|file| folder.join(file)));
        let files = candidates.into_iter().filter(|path| root().join(path).is_file());
        files.map(|path| (name.to_owned(), relative(&root().join(path)))).collect()
    })
}

/// The last two words, in reverse: `["name", "mod"]` for `pub(crate) mod name;`.
fn two_last_words(line: &str) -> Option<[&str; 2]> {
    let mut words = line.trim().strip_suffix(';')?.split_whitespace().rev();
    Some([words.next()?, words.next()?])
}

/// Blanks out everything that is not code. Newlines are preserved.
fn blank_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let is_word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
        let (skip, end) = if rest.starts_with(b"//") {
            (0, at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (0, at + block_comment_len(rest))
        } else if rest[0] == b'"' {
            (1, at + string_len(rest))
        } else if !is_word_before && let Some(len) = raw_string_len(rest) {
            (1, at + len)
        } else if rest[0] == b'\''
            && let Some(len) = char_len(rest)
        {
            (1, at + len)
        } else {
            at += 1;
            continue;
        };
        let inner_end = end.saturating_sub(skip).max(at + skip);
        for byte in &mut out[at + skip..inner_end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("blanks in place of whole characters")
}

fn block_comment_len(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn raw_string_len(bytes: &[u8]) -> Option<usize> {
    let prefix = usize::from(bytes[0] == b'b' || bytes[0] == b'c');
    let rest = bytes.get(prefix..)?.strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return None;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let body = &rest[hashes + 1..];
    let len = body.windows(end.len()).position(|window| window == end)?;
    Some(prefix + 1 + hashes + 1 + len + end.len())
}

/// A character, not a lifetime.
fn char_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1..)? {
        [b'\\', ..] => bytes[3..].iter().position(|&byte| byte == b'\'').map(|at| at + 4),
        rest => {
            let text = std::str::from_utf8(&rest[..rest.len().min(8)]);
            let text = text.or_else(|error| std::str::from_utf8(&rest[..error.valid_up_to()])).ok()?;
            let len = text.chars().next()?.len_utf8();
            (rest.get(len) == Some(&b'\'')).then_some(len + 2)
        }
    }
}

/// Blanks out the item after each `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(at) = out[from..].find(MARK).map(|at| from + at) {
        let end = at + MARK.len() + item_len(&out[at + MARK.len()..]);
        let blank: String = out[at..end].chars().map(|char| if char == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blank.chars().filter(char::is_ascii).collect::<String>());
        from = at + 1;
    }
    out
}

/// Up to the end of the first item: a semicolon, or a closing brace that matches its first opening one.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b';' | b',' if depth == 0 => return at + 1,
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Where `word` stands in `code` with no letter, digit or underscore around it.
fn words<'c>(code: &'c str, word: &'c str) -> impl Iterator<Item = usize> + 'c {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        let starts = !is_part(word.as_bytes().first()) || at == 0 || !is_part(bytes.get(at - 1));
        let ends = !is_part(word.as_bytes().last()) || !is_part(bytes.get(at + word.len()));
        starts && ends
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Fails with one line for each finding.
fn check(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

/// Every occurrence of a word in the shipped code of a source.
fn places(source: &Source, word: &str) -> Vec<String> {
    let code = &source.shipped;
    words(code, word).map(|at| format!("{}:{}: {word}", source.path, line_of(code, at))).collect()
}

#[test]
fn the_core_uses_no_system_and_no_allocator() {
    let mut findings = Vec::new();
    for source in shipped_sources().iter().filter(|source| source.path.starts_with("core/src/")) {
        for word in ["std::", "alloc::", "extern crate", "rustix", "libc"] {
            findings.extend(places(source, word));
        }
    }
    let lib = source(&root().join("core/src/lib.rs"));
    assert!(lib.text.contains("#[cfg(feature = \"sim\")]\nextern crate alloc;"), "only the simulation allocates");
    assert!(lib.text.contains("#[cfg(any(test, feature = \"std\"))]\nextern crate std;"), "std is a choice");
    findings.retain(|finding| {
        let of_the_simulation = finding.contains("core/src/sim/") && finding.ends_with("alloc::");
        let is_its_crate = finding.contains("core/src/lib.rs") && finding.ends_with("extern crate");
        let of_a_trait_of_std = finding.contains("core/src/writer/std_io.rs") && finding.contains("std::");
        !of_the_simulation && !is_its_crate && !of_a_trait_of_std
    });
    check("only the core library, heapless and httparse in core/src", &findings);
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(lib.code.contains(attribute), "core/src/lib.rs lacks {attribute}");
    }
    assert!(source(&root().join("src/lib.rs")).code.contains("#![forbid(unsafe_code)]"), "src/lib.rs lacks its forbid");
}

#[test]
fn routes_and_middleware_use_no_system_and_no_allocator() {
    /// Compiled with the feature `std` only.
    const HOSTED: [&str; 2] = ["web/src/middleware/access_log/hosted.rs", "web/src/metrics/registry.rs"];
    let mut findings = Vec::new();
    for source in shipped_sources().iter().filter(|source| source.path.starts_with("web/src/")) {
        for word in ["std::", "alloc::", "extern crate", "rustix", "libc"] {
            findings.extend(places(source, word));
        }
    }
    findings.retain(|finding| {
        let is_its_crate = finding.contains("web/src/lib.rs") && finding.ends_with("extern crate");
        let of_feature_std = HOSTED.iter().any(|path| finding.contains(path)) && finding.ends_with("std::");
        !is_its_crate && !of_feature_std
    });
    check("only the core library, except in the files of the feature std", &findings);
    let lib = source(&root().join("web/src/lib.rs"));
    for attribute in
        ["#![no_std]", "#![forbid(unsafe_code)]", "#[cfg(any(test, feature = \"std\"))]\nextern crate std;"]
    {
        assert!(lib.text.contains(attribute), "web/src/lib.rs lacks {attribute}");
    }
}

/// A layer and the modules of the core above it, which it must not name.
const ABOVE: [(&str, &str); 11] = [
    ("core/src/time.rs", "pool parse request connection engine run readiness sim handler writer"),
    ("core/src/state.rs", "pool parse request connection engine run readiness sim handler writer reactor"),
    ("core/src/pool/", "parse request response connection engine run readiness sim handler writer limits"),
    ("core/src/deadlines.rs", "pool parse request connection engine run readiness sim handler writer"),
    ("core/src/parse/", "pool response connection engine run readiness sim handler writer reactor state"),
    ("core/src/request", "pool response connection engine run readiness sim writer state"),
    ("core/src/encode.rs", "pool parse request connection engine run readiness sim handler reactor state"),
    ("core/src/reactor.rs", "parse request response connection engine run readiness sim handler writer state limits"),
    ("core/src/readiness", "parse request response connection engine run sim handler writer state limits"),
    ("core/src/connection/", "engine run readiness sim"),
    ("core/src/engine/", "parse run readiness sim"),
];

#[test]
fn each_layer_uses_only_those_below_it() {
    let mut findings = Vec::new();
    let sources = shipped_sources();
    for (layer, above) in ABOVE {
        let mut files = 0;
        for source in sources.iter().filter(|source| source.path.starts_with(layer)) {
            files += 1;
            for module in above.split(' ') {
                findings.extend(places(source, &format!("crate::{module}")));
            }
        }
        assert!(files > 0, "there is no file {layer}: this table is out of date");
    }
    check("a layer names one above it", &findings);
}

#[test]
fn backends_use_only_the_reactor_interface() {
    let is_of_a_backend = |path: &str| path.starts_with("backend-") || path.starts_with("sockets/");
    let mut findings = Vec::new();
    for source in shipped_sources().iter().filter(|source| is_of_a_backend(&source.path)) {
        for at in words(&source.shipped, "aurora_http_core::") {
            let rest = &source.shipped[at + "aurora_http_core::".len()..];
            let module: String = rest.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            // A header that tells the peer of a socket is below HTTP.
            let is_of_the_seam = matches!(module.as_str(), "reactor" | "readiness" | "time" | "pool" | "budget");
            if !is_of_the_seam && module != "proxy_header" {
                findings.push(format!("{}:{}: aurora_http_core::{module}", source.path, line_of(&source.shipped, at)));
            }
        }
    }
    check("a backend uses more of the core than the seam", &findings);
}

#[test]
fn the_facade_has_no_protocol() {
    let mut findings = Vec::new();
    // The protocol may appear in a client, which has to know what it sends.
    let is_of_the_server = |source: &&Source| source.path.starts_with("src/") && source.path != "src/testing.rs";
    for source in shipped_sources().iter().filter(is_of_the_server) {
        // In strings as well, but neither in comments nor in tests.
        let mut inside_tests = source.code.lines().zip(source.shipped.lines()).map(|(code, shipped)| code != shipped);
        for (at, line) in source.text.lines().enumerate() {
            let line_code = line.split("//").next().unwrap_or_default();
            if inside_tests.next() == Some(true) {
                continue;
            }
            for word in ["HTTP/1", "Content-Length", "Transfer-Encoding", "chunked", "httparse", "\\r\\n", "parse_head"]
            {
                if line_code.contains(word) {
                    findings.push(format!("{}:{}: {word}", source.path, at + 1));
                }
            }
        }
    }
    check("protocol code in the facade", &findings);
}

#[test]
fn every_transition_is_in_the_state_table() {
    let mut asks = Vec::new();
    let mut sets = Vec::new();
    for source in shipped_sources().iter().filter(|source| source.path.starts_with("core/src/")) {
        let is_the_table = source.path == "core/src/state.rs" || source.path.starts_with("core/src/state/");
        if !is_the_table && !source.path.starts_with("core/src/connection/") {
            asks.extend(places(source, ".after("));
        }
        if source.path.starts_with("core/src/connection/") {
            sets.extend(places(source, ".state = "));
        }
    }
    check("only core/src/connection/ asks the table of transitions", &asks);
    assert_eq!(sets.len(), 1, "a connection's state is set in one place, by the table: {sets:?}");
}

#[test]
fn functions_and_files_are_short() {
    let mut findings = Vec::new();
    for source in shipped_sources() {
        let lines = source.text.lines().zip(source.code.lines().zip(source.shipped.lines()));
        let count = lines.filter(|(_, (code, shipped))| code == shipped).count();
        if count > FILE_LINES_MAX {
            findings.push(format!("{}:1: {count} lines, at most {FILE_LINES_MAX}", source.path));
        }
        for (name, line, count) in functions(&source.shipped) {
            if count > FUNCTION_LINES_MAX {
                findings
                    .push(format!("{}:{line}: fn {name} has {count} lines, at most {FUNCTION_LINES_MAX}", source.path));
            }
        }
    }
    check("too long", &findings);
}

/// Name, first line and number of lines of each function with a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let rest = &code[at + 2..];
        let name: String =
            rest.trim_start().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
        if name.is_empty() {
            continue; // a type
        }
        let Some(body) = body_start(rest) else { continue };
        let end = at + 2 + body + item_len(&rest[body..]);
        let (first, last) = (line_of(code, at), line_of(code, end - 1));
        found.push((name, first, last - first + 1));
    }
    found
}

/// Where a function's body begins; `None` without one.
fn body_start(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = b' ';
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            // A semicolon inside a type follows one of these.
            b'{' if depth == 0 && !matches!(before, b'<' | b',' | b'=') => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    None
}

/// Directories and files that may contain `unsafe`, each use with its reason.
const UNSAFE_ALLOWED: [&str; 10] = [
    "benches/peers/servers/bare/src/bin/bare-uring.rs",
    "backend-",
    "embedding/ffi/",
    "sockets/",
    "system/",
    "tests/support/allocations.rs",
    "tests/support/filter.rs",
    "tls/tests/bad_input.rs",
    "examples/bare-metal-device/src/board/", // registers
    "examples/bare-metal-sizes/src/",        // symbols
];

#[test]
fn unsafe_is_confined_and_has_reasons() {
    let mut folders = ["compress", "core", "src", "files", "sockets", "system", "tls", "web", "websocket", "tests"]
        .map(str::to_owned)
        .to_vec();
    folders.extend(["benches", "embedding", "examples", "fuzz", "proxy", "simulation", "template"].map(str::to_owned));
    folders.extend(backends());
    let mut findings = Vec::new();
    for source in sources(&folders) {
        let allowed = UNSAFE_ALLOWED.iter().any(|allowed| source.path.starts_with(allowed));
        for at in words(&source.code, "unsafe") {
            let line = line_of(&source.code, at);
            if !allowed {
                findings.push(format!("{}:{line}: unsafe", source.path));
            } else if needs_reason(&source.code[at..]) && !has_reason(&source.text, line) {
                findings.push(format!("{}:{line}: unsafe without a SAFETY comment", source.path));
            }
        }
    }
    check("unsafe where it is not allowed, or without a reason", &findings);
}

/// Blocks and implementations need a reason; functions only pass the obligation on.
fn needs_reason(code: &str) -> bool {
    let next = code["unsafe".len()..].trim_start();
    next.starts_with('{') || next.starts_with("impl")
}

/// Whether there is a `SAFETY:` comment on this line or directly above it.
fn has_reason(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let (this, above) = lines.split_last().expect("a line");
    let block = above.iter().rev().take_while(|line| line.trim().starts_with("//") || line.trim().starts_with("#["));
    this.contains("// SAFETY:") || block.into_iter().any(|line| line.trim().starts_with("// SAFETY:"))
}

/// Written in two parts, so that this file does not find itself.
const NOWHERE: [(&str, &str); 11] = [
    ("to", "do!"),
    ("unimple", "mented!"),
    ("#[ig", "nore"),
    ("db", "g!("),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("HA", "CK"),
    ("for ", "now"),
    ("simpli", "fied"),
    ("place", "holder"),
    ("<<<<", "<<<"),
];

/// Absolute directories: nothing in the tree may depend on where it is checked out.
const PLACES: [(&str, &str); 5] = [("/wo", "rk/"), ("/tm", "p/"), ("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/")];

#[test]
fn nothing_is_unfinished_and_nothing_names_a_machine() {
    let mut paths = Vec::new();
    let is_text = |name: &str| {
        let ending = name.rsplit('.').next().unwrap_or_default();
        name != "Cargo.lock" && (matches!(ending, "rs" | "toml" | "md" | "sh" | "yml" | "yaml") || !name.contains('.'))
    };
    files(&root(), &is_text, &mut paths);
    let mut findings = Vec::new();
    for path in &paths {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for (front, back) in NOWHERE.into_iter().chain(PLACES) {
            let word = format!("{front}{back}");
            let found = words(&text, &word).map(|at| format!("{}:{}: {word}", relative(path), line_of(&text, at)));
            findings.extend(found);
        }
    }
    check("unfinished, or bound to a machine", &findings);
    assert!(paths.len() > 80, "only {} files are looked at", paths.len());
}

/// The scanner itself: what it blanks, and what it counts.
#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let text = "fn a() { \"fn b() {\\\"\"; '{'; '\\''; r#\"}\"#; b\"{\"; } // fn c() {\n/* fn d() /* { */ */ fn e<'x>(_: &'x [u8; { 1 }]) {\n}\n";
    let code = blank_comments_and_strings(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(functions(&code), [("a".to_owned(), 1, 1), ("e".to_owned(), 2, 2)]);
    let tested = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { std::x }\n}\n#[cfg(test)]\n#[path = \"\"]\nmod more;\nfn c() {}\n";
    let shipped = blank_tests(tested);
    assert_eq!(shipped.lines().count(), tested.lines().count());
    assert_eq!(functions(&shipped).len(), 2);
    assert!(!shipped.contains("std::") && !shipped.contains("more"));
    assert_eq!(words("unsafe_code unsafe { not_unsafe }", "unsafe").count(), 1);
    assert!(has_reason("// SAFETY: it is\n// on two lines\nunsafe {}\n", 3));
    assert!(!has_reason("// SAFETY: it is\n\nunsafe {}\n", 3));
}
