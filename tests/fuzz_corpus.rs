//! Replays the corpus of every fuzz target: the target's check must hold for each file.
//!
//! Files written by hand are named after their purpose, files found by the fuzzer after their hash. Whatever a fuzzer finds
//! is added.

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Defines a test for each target, which replays its corpus, and a list of the targets.
macro_rules! replayed {
    ($($target:ident)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];

        $(
            #[test]
            fn $target() {
                replay(stringify!($target), checks::$target::check);
            }
        )*
    };
}

replayed!(builder chunked connection framing head multipart query response trailers websocket);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names of the entries of a directory.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
}

fn replay(target: &str, check: fn(&[u8])) {
    let files = entries(&fuzz().join("corpus").join(target));
    assert!(files.len() >= 10, "{target} has {} files", files.len());
    for file in files {
        let input = fs::read(&file).expect("a corpus file");
        assert!(input.len() <= 4096, "{} is too long to be kept", file.display());
        // Prints the name first, so that it precedes the output of the check.
        println!("{}", file.display());
        check(&input);
    }
}

/// Fails for a target that is not replayed, one that is not built, and a corpus without a target.
#[test]
fn every_target_is_built_and_replayed() {
    let named = |folder: &str| -> BTreeSet<String> {
        let stems = entries(&fuzz().join(folder)).into_iter();
        stems.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|&target| target.to_owned()).collect();
    assert_eq!((named("fuzz_targets"), named("corpus")), (targets.clone(), targets.clone()));
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).expect("a manifest");
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
    }
}
