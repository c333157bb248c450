//! Examples are in packages.

use std::fs;

use super::root;

/// cargo does not look for examples by itself, because they are spread over two packages.
#[test]
fn every_example_is_in_one_package() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a manifest");
    let manifests = [read("examples/Cargo.toml"), read("examples/more/Cargo.toml")];
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("examples")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let is_program = path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("lib.rs");
        if is_program || path.join("main.rs").is_file() {
            names.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let listed = format!("name = \"{name}\"");
        let packages = manifests.iter().filter(|manifest| manifest.lines().any(|line| line == listed)).count();
        assert_eq!(packages, 1, "the example {name} belongs into one manifest: examples/ or examples/more/");
    }
}
