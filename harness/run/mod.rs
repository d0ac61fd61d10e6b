//! The only place that joins the pure half (manager, timeline, claims) and the real half (processes, sockets).
//! The clocks live here.

mod clock;
mod guard;
mod incident;
mod layout;
mod machine;
mod quiet;
mod tools;
mod tree;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use clock::ClockKind;

/// Set from outside to end a run early.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end: its processes are killed, its directory is removed or kept as asked.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Why a run could not go on. None of these is a verdict on a claim.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was asked to end.
    #[error("the run was asked to end")]
    Canceled,
    /// A process of ours did not come back to the protocol, or a foreign one went on and on.
    #[error(
        "stall: {}`{command}` {why} within {} s of real time; raise --stall if the machine is that slow",
        pid.map(|pid| format!("pid {pid} ")).unwrap_or_default(),
        after.as_secs()
    )]
    Stalled {
        /// Incident PID.
        pid: Option<u32>,
        /// Its command line.
        command: String,
        /// What it did not do.
        why: String,
        /// The watchdog's patience.
        after: Duration,
    },
    /// A foreign process has a clock of its own.
    #[error(
        "`{command}` cannot run in lock-step: it sleeps on its own timer or serves by itself (in {call}); \
         use the commands that a run provides (sleep, timeout, watch, curl), describe it with a program block, \
         or run with --clock real"
    )]
    NotInLockstep {
        /// Its command line.
        command: String,
        /// The system call it sleeps in.
        call: String,
    },
    /// Nobody runs and nobody waits for a moment.
    #[error("nothing can happen any more: {waiting}")]
    Deadlock {
        /// Who waits for what.
        waiting: String,
    },
}
