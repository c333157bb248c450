//! The header is what cbindgen makes of the sources. `AURORA_BLESS=1 cargo test --test header` writes it anew.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_current() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in ["lib.rs", "pages.rs"] {
        builder = builder.with_src(here.join("src").join(source));
    }
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let (made, path) = (String::from_utf8(made).unwrap(), here.join("include/aurora.h"));
    if std::env::var_os("AURORA_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == made, "include/aurora.h is not what src/ says: AURORA_BLESS=1 cargo test --test header");
}
