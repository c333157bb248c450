//! The table against the simplest thing that could be right, and what it refuses.

use std::panic::{AssertUnwindSafe, catch_unwind};

use aurora_http_core::request::Method;
use aurora_http_web::{NoRoute, Routes, Table};
use proptest::prelude::*;
use proptest::sample::select;

/// Whether the pattern matches the path, and how well: lower is better at the first segment that differs.
fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut ranks = Vec::new();
    let mut segments = path[1..].split('/');
    for part in pattern[1..].split('/') {
        if part.starts_with('*') {
            segments.next()?;
            ranks.push(2);
            return Some(ranks);
        }
        let segment = segments.next()?;
        ranks.push(match part.strip_prefix(':') {
            Some(_) if segment.is_empty() => return None,
            Some(_) => 1,
            None if part == segment => 0,
            None => return None,
        });
    }
    segments.next().is_none().then_some(ranks)
}

/// Of all routes, the one that matches best.
fn naive(patterns: &[String], path: &str) -> Option<usize> {
    let ranked = patterns.iter().enumerate().filter_map(|(at, pattern)| Some((rank(pattern, path)?, at)));
    ranked.min().map(|(_, at)| at)
}

fn pattern() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefghj", "", ":p", ":p", "*r"]);
    prop::collection::vec(part, 1..5).prop_map(|parts| {
        let mut text = String::new();
        for (depth, part) in parts.into_iter().enumerate() {
            text.push('/');
            text.push_str(part);
            if part.starts_with([':', '*']) {
                text.push_str(&depth.to_string());
            }
            if part.starts_with('*') {
                break;
            }
        }
        text
    })
}

fn path() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefghj", "abcdefghk", "", "c"]);
    prop::collection::vec(part, 1..6).prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
}

proptest! {
    #[test]
    fn the_table_finds_what_a_look_at_every_route_finds(
        patterns in prop::collection::btree_set(pattern(), 0..40),
        paths in prop::collection::vec(path(), 1..40),
    ) {
        let patterns: Vec<String> = patterns.into_iter().collect();
        let routes: Vec<_> = patterns.iter().map(|text| (Method::Get, &*text.clone().leak())).collect();
        let table = Table::<256>::new(&routes);
        for path in paths {
            let expected = naive(&patterns, &path).ok_or(NoRoute::NotFound);
            prop_assert_eq!(table.find(Method::Get, path.as_bytes()), expected, "{} in {:?}", path, patterns);
            // The same in any spelling.
            let escaped: String = path.bytes().map(|byte| match byte {
                b'/' => "/".to_owned(),
                byte => format!("%{byte:02x}"),
            }).collect();
            prop_assert_eq!(table.find(Method::Get, escaped.as_bytes()), expected, "{}", escaped);
            prop_assert_eq!(table.find(Method::Put, path.as_bytes()), expected.and(Err(NoRoute::OtherMethods)));
        }
    }

    #[test]
    fn no_path_makes_it_panic(path in "[/%.a-c2eE\u{0}-\u{ff}]{0,40}") {
        let table = Table::<16>::new(&[(Method::Get, "/a/:b/*c"), (Method::Get, "/:a/b"), (Method::Get, "/*c")]);
        let found = table.find(Method::Get, path.as_bytes());
        let escapes = path.split('%').skip(1).all(|rest| {
            rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)
        });
        prop_assert!(escapes || found.is_err());
    }
}

#[test]
fn a_thousand_routes_are_found_and_nothing_beside_them() {
    let paths: Vec<&'static str> = (0..1000).map(|at| &*format!("/group{}/item{at}/:id", at % 40).leak()).collect();
    let routes: Vec<_> = paths.iter().map(|path| (Method::Get, *path)).collect();
    let table = Table::<4096>::new(&routes);
    for at in 0..1000 {
        assert_eq!(table.find(Method::Get, format!("/group{}/item{at}/x", at % 40).as_bytes()), Ok(at));
        let wrong = format!("/group{}/item{at}/x", (at + 1) % 40);
        assert_eq!(table.find(Method::Get, wrong.as_bytes()), Err(NoRoute::NotFound));
    }
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| String::new(), |text| (*text).to_owned()),
    }
}

#[test]
fn what_contradicts_itself_is_refused_at_the_start() {
    let get = Method::Get;
    let long = "/x".repeat(33).leak();
    let wide = format!("/{}", "x".repeat(129)).leak();
    let rows: [(&[(Method<'static>, &'static str)], &str); 19] = [
        (&[(get, "")], "must start with a slash"),
        (&[(get, "items")], "must start with a slash"),
        (&[(get, "/a"), (get, "/a")], "already a route"),
        (&[(get, "/:a"), (Method::Put, "/:a"), (get, "/:a")], "already a route"),
        (&[(get, "/:a"), (get, "/:b/x")], "a parameter with another name"),
        (&[(get, "/x/*a"), (get, "/x/*b")], "a parameter with another name"),
        (&[(get, "/:a/x/:a")], "the same name"),
        (&[(get, "/:a/*a")], "the same name"),
        (&[(get, "/*a/x")], "can follow a `*rest`"),
        (&[(get, "/:")], "needs a name"),
        (&[(get, "/*")], "needs a name"),
        (&[(get, "/:a.json")], "letters, digits and `_`"),
        (&[(get, "/caf%C3%A9")], "write it decoded"),
        (&[(get, "/a?b=c")], "write it decoded"),
        (&[(get, "/a/../b")], "a segment `.` or `..`"),
        (&[(get, long)], "at most 32 segments"),
        (&[(get, wide)], "at most 128 bytes"),
        (&[(Method::Extension("NO SPACE"), "/")], "a method must be a token"),
        (&[(get, "/1"), (get, "/2"), (get, "/3"), (get, "/4"), (get, "/5"), (get, "/6")], "no room"),
    ];
    for (routes, expected) in rows {
        let panic = catch_unwind(|| match expected {
            "no room" => _ = Table::<6>::new(routes),
            _ => _ = Table::<64>::new(routes),
        });
        let text = message(panic.expect_err(expected));
        assert!(text.contains(expected), "{routes:?}: {text}");
    }
    let mounted = catch_unwind(AssertUnwindSafe(|| {
        let part = Routes::<(), _>::new().get("/", |_, _, _| {});
        let _ = Routes::new().get("/a", |_, _, _| {}).mount("/a", part);
    }));
    assert!(message(mounted.expect_err("a conflict")).contains("already a route"));
}
