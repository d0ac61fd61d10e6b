//! The child of a stand-in: a process of the same program that has the same listening socket, as the workers of a server
//! with several processes have. What its parent does when it is told to end is no concern of the child's.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::listener::Listener;
use crate::control::{ENV_CHILD, Note};
use crate::program::link::Link;

/// Starts the child of this process.
///
/// # Errors
///
/// Why it could not be started.
pub(super) fn start(link: &mut Link, listener: &Listener) -> io::Result<Child> {
    link.note(Note::Foreign);
    link.flush();
    let mut args = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env(ENV_CHILD, "1").stdin(listener.for_child()?).spawn()
}

/// Whether this process is such a child.
pub(super) fn is_one() -> bool {
    std::env::var_os(ENV_CHILD).is_some()
}

/// The child is called what its parent is, and not what the file is called that both were started from.
pub(super) fn take_name(argv0: &str) {
    let name = argv0.rsplit('/').next().unwrap_or(argv0);
    if let Ok(name) = std::ffi::CString::new(name) {
        // Longer ones are cut by the kernel (PR_SET_NAME); if it will not, that is no reason not to serve.
        let _ = nix::sys::prctl::set_name(&name);
    }
}
