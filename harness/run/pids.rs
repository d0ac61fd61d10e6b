//! The PIDs of the incident, in a fixed order, so that two runs print the same ones.

use std::cell::Cell;
use std::path::Path;

/// From here on nobody of the machine itself has one.
const SHELLS: u32 = 300;

/// Hands out PIDs.
#[derive(Debug)]
pub(super) struct Pids {
    first: u32,
    next: Cell<u32>,
    /// In a machine of the run's own they are the kernel's as well.
    literal: bool,
}

impl Pids {
    pub(super) fn new(first: u32, literal: bool) -> Pids {
        Pids { first, next: first.into(), literal }
    }

    /// For a process that does not exist yet. Where the kernel is to give it this very number, nobody has it now.
    pub(super) fn fork(&self) -> u32 {
        // Also those of threads, which no directory listing shows.
        while self.literal && Path::new(&format!("/proc/{}", self.next.get())).exists() {
            self.take();
        }
        self.take()
    }

    fn take(&self) -> u32 {
        self.next.replace(self.next.get() + 1)
    }

    /// For a process that exists, by its PID on the host.
    pub(super) fn name(&self, host: i32) -> u32 {
        // The same services have the same numbers, whether those of others are the kernel's or not.
        let pid = self.take();
        u32::try_from(host).ok().filter(|_| self.literal).unwrap_or(pid)
    }

    /// Whether the number was given to a process of the incident, which may be gone.
    pub(super) fn was_given(&self, pid: i64) -> bool {
        (self.first.into()..self.next.get().into()).contains(&pid)
    }

    /// Which number the kernel is to give an operator's shell. What it starts gets those that follow: the first of all
    /// is the scenario's first, the others are out of the way of services.
    pub(super) fn shell(&self) -> Option<u32> {
        let is_first = self.next.get() == self.first;
        self.literal.then(|| if is_first { self.first.saturating_sub(1).max(SHELLS) } else { SHELLS })
    }

    /// Which number the kernel is to give a process that was promised one.
    pub(super) fn promised(&self, pid: u32) -> Option<u32> {
        self.literal.then_some(pid)
    }
}
