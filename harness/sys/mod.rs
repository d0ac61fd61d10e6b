//! The Linux corner: signals, processes, ports, notifications.

pub mod contain;
pub mod notify;
pub mod port;
pub mod process;
pub mod socket;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

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
