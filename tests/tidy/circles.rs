//! Files that use each other in a cycle: none of them can be understood or moved without the others.
//!
//! A file uses another one by a path that starts with `crate::` or `super::`, whether or not in a `use`. Paths from a module
//! down into its own children do not count, because a parent has to name its children.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Source, backends, check, declared_modules, item_len, scan, shipped_sources, words};

/// Directories below which no files use each other in a cycle, besides those of the backends. Each is the directory of a
/// crate's `lib.rs`, or is below one.
const FOLDERS: [&str; 4] = ["sockets/src", "src", "system/src", "core/src"];

#[test]
fn no_files_use_each_other_in_a_cycle() {
    let mut folders: Vec<String> = backends().iter().map(|backend| format!("{backend}/src")).collect();
    folders.extend(FOLDERS.map(str::to_owned));
    let all = shipped_sources();
    let mut findings = Vec::new();
    for folder in folders {
        findings.extend(circles(&all, &folder));
    }
    check("files use each other in a circle: move what they share into a file that uses none of them", &findings);
}

/// For each set of files below `folder` that use each other: a shortest cycle, and the rest of the set.
fn circles(all: &[Source], folder: &str) -> Vec<String> {
    let prefix = format!("{folder}/");
    let root = folder.match_indices("src").find_map(|(at, _)| {
        let lib = format!("{}/lib.rs", &folder[..at + 3]);
        all.iter().find(|source| source.path == lib)
    });
    let modules = modules(all, root.unwrap_or_else(|| panic!("{folder} is in no crate")));
    let mut uses = BTreeMap::new();
    for (module, source) in &modules.places {
        if source.path.starts_with(&prefix) {
            let used = modules.used_by(source, module).into_iter().filter(|path| path.starts_with(&prefix));
            uses.entry(source.path.as_str()).or_insert_with(BTreeSet::new).extend(used);
        }
    }
    assert!(!uses.is_empty(), "no file in {folder}");
    let mut in_circles: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for file in uses.keys() {
        if in_circles.contains(file) {
            continue;
        }
        let Some(circle) = way_back(&uses, file) else { continue };
        // This finding covers all files that are in a cycle with this one.
        let set: BTreeSet<&str> = uses
            .keys()
            .copied()
            .filter(|other| way(&uses, file, other).is_some() && way(&uses, other, file).is_some())
            .collect();
        let rest: Vec<&str> = set.iter().copied().filter(|other| !circle.contains(other)).collect();
        let behind = if rest.is_empty() { "" } else { "; tied to it: " };
        found.push(format!("{}{behind}{}", circle.join(" -> "), rest.join(", ")));
        in_circles.extend(set);
    }
    found
}

type Uses<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn way_back<'a>(uses: &Uses<'a>, file: &'a str) -> Option<Vec<&'a str>> {
    let found = way(uses, file, file)?;
    Some([file].into_iter().chain(found).collect())
}

/// The shortest path from one file to another along uses, without its start.
fn way<'a>(uses: &Uses<'a>, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(file) = next.pop_front() {
        for &used in uses.get(file).into_iter().flatten() {
            if came_from.contains_key(used) {
                continue;
            }
            came_from.insert(used, file);
            next.push_back(used);
        }
    }
    let mut back = vec![to];
    let mut at = *came_from.get(to)?;
    while at != from {
        back.push(at);
        at = came_from[at];
    }
    back.reverse();
    Some(back)
}

/// The modules of a crate that are files. A module may have several files, one for each system.
struct Modules<'a> {
    /// Its path in the crate, and the file.
    places: Vec<(Vec<String>, &'a Source)>,
}

/// Finds the modules that are declared from `root` on.
fn modules<'a>(all: &'a [Source], root: &'a Source) -> Modules<'a> {
    let mut places: Vec<(Vec<String>, &Source)> = vec![(Vec::new(), root)];
    let mut at = 0;
    while let Some((module, source)) = places.get(at).cloned() {
        at += 1;
        for (name, path) in declared_modules(source, &source.shipped) {
            if let Some(file) = all.iter().find(|other| other.path == path) {
                places.push((module.iter().cloned().chain([name]).collect(), file));
            }
        }
    }
    Modules { places }
}

impl<'a> Modules<'a> {
    /// The files from which `source`, the module `module`, uses something.
    fn used_by(&self, source: &Source, module: &[String]) -> Vec<&'a str> {
        let code = &source.shipped;
        let mut used = Vec::new();
        let starts =
            ["crate", "super"].into_iter().flat_map(|start| words(code, start).map(move |at| (at, start.len())));
        // Skips words in the middle of a path, and visibilities.
        for (at, _) in starts.filter(|&(at, len)| !code[..at].ends_with("::") && code[at + len..].starts_with("::")) {
            let mut from = module.to_vec();
            from.extend(inline_modules(code, at));
            for path in paths(&code[at..]) {
                used.extend(self.named(&from, &path).filter(|path| *path != source.path));
            }
        }
        used
    }

    /// The files of the innermost module that a path leads through.
    fn named(&self, from: &[String], path: &[&str]) -> impl Iterator<Item = &'a str> {
        let mut wanted = if path[0] == "crate" { Vec::new() } else { from.to_vec() };
        for step in path {
            match *step {
                "crate" => {}
                "super" => drop(wanted.pop()),
                name => wanted.push(name.to_owned()),
            }
        }
        let depth = |module: &[String]| wanted.starts_with(module).then_some(module.len());
        let deepest = self.places.iter().filter_map(|(module, _)| depth(module)).max();
        let files = self.places.iter().filter(|(module, _)| depth(module) == deepest);
        files.map(|(_, source)| source.path.as_str()).collect::<Vec<_>>().into_iter()
    }
}

/// Names of the modules in a file that the place `at` is inside of, the outermost first.
fn inline_modules(code: &str, at: usize) -> Vec<String> {
    let mut names = Vec::new();
    for begin in words(&code[..at], "mod") {
        let rest = code[begin + 3..].trim_start();
        let name: String = rest.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
        let has_body = rest[name.len()..].trim_start().starts_with('{');
        if !name.is_empty() && has_body && begin + item_len(&code[begin..]) > at {
            names.push(name);
        }
    }
    names
}

/// All paths at the beginning of `code`: one, or those in braces.
fn paths(code: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    read_path(code, &mut Vec::new(), &mut found);
    found
}

/// Reads a path after `before`, and returns the rest of the code.
fn read_path<'c>(code: &'c str, before: &mut Vec<&'c str>, found: &mut Vec<Vec<&'c str>>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            let length = before.len();
            rest = read_path(rest, before, found).trim_start();
            before.truncate(length);
            // A rename, `as name`, is not part of the path.
            rest = rest.trim_start_matches(|char: char| char != ',' && char != '}');
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(more),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = code.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    if !name.is_empty() && name != "self" {
        before.push(name);
    }
    match rest.trim_start().strip_prefix("::") {
        Some(more) if !name.is_empty() => read_path(more, before, found),
        _ => {
            found.push(before.clone());
            rest.strip_prefix('*').unwrap_or(rest)
        }
    }
}

#[test]
fn a_cycle_is_found_through_any_kind_of_path() {
    let lib = "mod a;\nmod b;\nmod c;\npub use a::A;\n";
    let crate_of = |a: &str, b: &str, c: &str| {
        let file = |name: &str, code: &str| scan(&format!("tests/support/src/{name}.rs"), code.to_owned());
        [file("lib", lib), file("a", a), file("b", b), file("c", c)]
    };
    // These files do not exist, so their modules cannot be found by their declarations.
    let look = |sources: &[Source]| -> Vec<Vec<String>> {
        let places = sources.iter().map(|source| {
            let stem = source.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
            (if stem == "lib" { Vec::new() } else { vec![stem.to_owned()] }, source)
        });
        let modules = Modules { places: places.collect() };
        let uses: Uses<'_> = modules
            .places
            .iter()
            .map(|(module, source)| (source.path.as_str(), modules.used_by(source, module).into_iter().collect()))
            .collect();
        let short = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        uses.keys()
            .filter_map(|file| way_back(&uses, file))
            .map(|circle| circle.into_iter().map(short).collect())
            .collect()
    };
    let round =
        look(&crate_of("use crate::{self as root, b::{self, B as Bee, C,}};", "use super::c::*;", "crate::a::f();"));
    assert_eq!(round[0], ["a.rs", "b.rs", "c.rs", "a.rs"]);
    let inside = "mod inner {\n    use super::A;\n    use super::super::b;\n}\n";
    assert!(look(&crate_of(inside, "use crate::c;", "use crate::A;\n// use crate::b;")).is_empty());
    assert_eq!(look(&crate_of(inside, "use crate::a::A;", ""))[0], ["a.rs", "b.rs", "a.rs"]);
}
