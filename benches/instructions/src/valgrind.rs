//! Counting: this program, called again under callgrind.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::Workload;

/// Callgrind counts only what happens in here, because it is told this function's name.
#[inline(never)]
pub(crate) fn counted(work: &mut dyn FnMut()) {
    work();
}

const TOGGLE: &str = "--toggle-collect=*valgrind*counted*";

/// Instructions per unit of a workload.
///
/// Nothing of the environment is passed on, so that it cannot change what is counted.
pub(crate) fn count(workload: &Workload) -> Result<f64, String> {
    let valgrind = find("valgrind").ok_or("valgrind is not installed; Debian's package has that name")?;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", TOGGLE])
        .arg(program)
        .args(["--run", workload.name])
        .env_clear()
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {}\n{messages}", workload.name, output.status));
    }
    let total = messages.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    match total {
        Some(total) if total > 0 => Ok(total as f64 / f64::from(workload.units * workload.repetitions)),
        _ => Err(format!("{}: callgrind has counted nothing:\n{messages}", workload.name)),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}
