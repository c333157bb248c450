//! Every row of the wire's table on a bare connection in virtual time, and on a real server over sockets.

#[path = "conformance/mod.rs"]
mod wire;

use wire::bare::{Bare, whole};
use wire::rows;

#[test]
fn on_a_bare_connection() {
    let mut bare = Bare::new();
    let cases = rows::all();
    let wrong: Vec<String> = cases.iter().filter_map(|case| bare.play(case, &mut whole).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
