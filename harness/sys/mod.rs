//! The Linux corner: signals, processes, ports, notifications.

pub mod cgroup;
pub mod connections;
pub mod contain;
pub mod listening;
pub mod namespace;
pub mod notify;
pub mod port;
pub mod process;
pub mod processes;
pub mod processors;
pub mod sock_diag;
pub mod socket;

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Held by those who start processes. A child has copies of all descriptors until it executes its program, whatever
/// their flags: what another thread closes meanwhile is not closed.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a process.
///
/// # Errors
///
/// What the system says.
pub fn start(command: &mut Command) -> io::Result<Child> {
    let _held = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// Closes descriptors while nobody of this process is starting another one, so that whoever is at their other ends sees
/// it at once.
pub fn close<T>(descriptors: T) {
    let _held = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    drop(descriptors);
}

/// Microseconds of real time since 1970.
pub fn real_time() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Sends a signal to one process; `false` if it is gone or the number is no signal. 0 only looks.
pub fn kill(pid: i32, signal: i32) -> bool {
    if pid <= 1 {
        return false;
    }
    let signal = match signal {
        0 => None,
        number => match Signal::try_from(number) {
            Ok(signal) => Some(signal),
            Err(_) => return false,
        },
    };
    nix::sys::signal::kill(Pid::from_raw(pid), signal).is_ok()
}
