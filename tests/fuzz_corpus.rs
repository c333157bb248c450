//! The corpus of every fuzz target, replayed: each file is an input that the target's check has to hold for.
//!
//! The files are written by hand, by what they are for, or found by the fuzzer, by their hash. Whatever a fuzzer finds
//! becomes one of them.

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A test for each target, which replays its corpus, and a list of them.
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

replayed!(builder chunked connection framing head query response trailers);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// What is in a folder, by name.
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
        // Its name first, so that it stands above whatever the check finds.
        println!("{}", file.display());
        check(&input);
    }
}

/// A target that nobody replays, one that is not built, and a corpus that belongs to none show here.
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
