//! Code that is duplicated between backends.

use std::collections::BTreeMap;

use super::{Source, backends, check, line_of, scan, shipped_sources};

/// The most consecutive lines of code that may be equal in two crates.
const EQUAL_LINES_MAX: usize = 12;

#[test]
fn no_code_is_duplicated_between_backends() {
    let mut folders = backends();
    folders.push("sockets".to_owned());
    let all = shipped_sources();
    let of = |folder: &String| -> Vec<&Source> {
        let prefix = format!("{folder}/src/");
        all.iter().filter(|source| source.path.starts_with(&prefix)).collect()
    };
    let mut findings = Vec::new();
    for (at, folder) in folders.iter().enumerate() {
        let sources = of(folder);
        assert!(!sources.is_empty(), "no file in {folder}/src");
        for other in &folders[at + 1..] {
            findings.extend(equal_runs(&sources, &of(other)));
        }
    }
    check("the same in two crates: it belongs into the one that they share", &findings);
}

/// Each run of more equal lines than allowed, once. Blank lines, comments and the contents of strings do not count.
fn equal_runs(some: &[&Source], others: &[&Source]) -> Vec<String> {
    let files: Vec<(&Source, Vec<(usize, &str)>)> = some.iter().map(|source| (*source, code_lines(source))).collect();
    let mut seen = BTreeMap::new();
    for (source, lines) in &files {
        for run in lines.windows(EQUAL_LINES_MAX + 1) {
            seen.entry(texts(run)).or_insert((source, run[0].0));
        }
    }
    let mut findings = Vec::new();
    for other in others {
        let lines = code_lines(other);
        let mut inside = false;
        for run in lines.windows(EQUAL_LINES_MAX + 1) {
            let found = seen.get(&texts(run));
            if let (false, Some((source, line))) = (inside, found) {
                let place = format!("{}:{}", other.path, run[0].0);
                findings.push(format!("{place}: more than {EQUAL_LINES_MAX} lines as in {}:{line}", source.path));
            }
            inside = found.is_some();
        }
    }
    findings
}

/// Number and code of each line with code.
fn code_lines(source: &Source) -> Vec<(usize, &str)> {
    let lines = source.shipped.lines().map(str::trim);
    (1..).zip(lines).filter(|(_, line)| !line.is_empty()).collect()
}

fn texts<'l>(run: &[(usize, &'l str)]) -> Vec<&'l str> {
    run.iter().map(|(_, line)| *line).collect()
}

#[test]
fn a_run_is_found_whatever_is_between_its_lines() {
    let line = |number: usize| format!("    call_{number}();\n");
    let run = |count: usize| (0..count).map(line).collect::<String>();
    let some = scan("a.rs", format!("fn a() {{\n{}}}\n", run(EQUAL_LINES_MAX + 2)));
    let spread = run(EQUAL_LINES_MAX + 2).replace(";\n", "; // why\n\n");
    let other = scan("b.rs", format!("fn other_head() {{\n{spread}    other_end();\n}}\n"));
    let found = equal_runs(&[&some], &[&other]);
    assert_eq!(found, [format!("b.rs:2: more than {EQUAL_LINES_MAX} lines as in a.rs:2")], "once");
    let short = scan("c.rs", format!("fn c() {{\n{}    other_end();\n}}\n", run(EQUAL_LINES_MAX)));
    assert!(equal_runs(&[&some], &[&short]).is_empty());
    assert_eq!(line_of(&other.text, other.text.find("call_0").unwrap()), 2);
}
