//! The guide as a book: every chapter is in the table of contents and among the tests, and every link leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const REPOSITORY: &str = "https://github.com/aurora-http/aurora/";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn chapters() -> BTreeSet<String> {
    let entries = fs::read_dir(folder()).expect("the chapters");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The targets of the links in a text: what is between `](` and `)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The fragments of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    let summary = read(folder().join("SUMMARY.md"));
    let listed: BTreeSet<String> = links(&summary).map(str::to_owned).collect();
    assert_eq!(listed, chapters());
}

#[test]
fn the_code_of_every_chapter_is_tested() {
    let here = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("lib.rs"));
    // These have code of other crates, which is compiled there.
    let elsewhere = read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../embedding/migration/lib.rs"));
    for chapter in chapters() {
        let text = if chapter.starts_with("from-") { &elsewhere } else { &here };
        assert!(text.contains(&format!("/{chapter}\"")) || text.contains(&format!("\"src/{chapter}\"")), "{chapter}");
        for block in read(folder().join(&chapter)).split("```rust").skip(1) {
            let attributes = block.lines().next().unwrap_or_default();
            assert!(!attributes.contains("ignore") && !attributes.contains("compile_fail"), "{chapter}: {attributes}");
        }
    }
}

#[test]
fn every_link_into_the_guide_or_the_repository_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut checked = 0;
    for chapter in chapters() {
        let text = read(folder().join(&chapter));
        for link in links(&text) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let file = if let Some(rest) = path.strip_prefix(REPOSITORY) {
                let file = rest.strip_prefix("blob/main/").or_else(|| rest.strip_prefix("tree/main/"));
                root.join(file.unwrap_or_else(|| panic!("{chapter}: {link}")))
            } else if path.starts_with("http") {
                continue;
            } else {
                folder().join(if path.is_empty() { &chapter } else { path })
            };
            assert!(file.exists(), "{chapter}: {link}");
            if !fragment.is_empty() {
                assert!(anchors(&read(&file)).contains(fragment), "{chapter}: no heading for {link}");
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}
