//! Whether foreign processes are quiet: kernel state as truth, because nobody announces what they do.
//!
//! A foreign process (a shell, `grep`) runs until it exits, except while all it does is wait for its children or at
//! a pipe. One that sleeps on a timer of its own, or serves, cannot be in lock-step; it is named, never waited for
//! in silence.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Fault;
use crate::sys::connections::{Flight, any_flying};
use crate::sys::process::{self, Look, WaitsFor, Watch};

/// A sleep on a timer of its own that lasts this long of real time without a break is reported.
const PATIENCE: Duration = Duration::from_secs(2);
/// A zombie that its parent has not reaped for this long will stay one.
const ZOMBIE: Duration = Duration::from_millis(100);
/// What stays on its way for this long is not.
const FLIGHT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Foreign {
    zombies: HashMap<(i32, u64), Instant>,
    /// Who was not quiet in the last pass, in what, and since when without a break.
    offender: Option<(Look, String, Instant)>,
    seen: Option<(Look, String)>,
    ports: Vec<u16>,
    flight: Option<Instant>,
}

impl Foreign {
    /// Something happened that may wake anybody.
    pub(super) fn disturbed(&mut self) {
        self.offender = None;
    }

    /// Begins a pass.
    pub(super) fn begin(&mut self) {
        match (&self.seen, &self.offender) {
            (Some((seen, _)), Some((before, _, _))) if seen == before => {}
            (Some((seen, call)), _) => self.offender = Some((seen.clone(), call.clone(), Instant::now())),
            (None, _) => self.offender = None,
        }
        self.seen = None;
    }

    /// Whether the process can do nothing until somebody else does something.
    pub(super) fn is_quiet(&mut self, look: &Look, watch: &mut Watch) -> bool {
        match look.state {
            'T' | 't' => true,
            'Z' | 'X' => self.zombies.entry((look.pid, look.start)).or_insert_with(Instant::now).elapsed() > ZOMBIE,
            'S' => match watch.waits_for() {
                Some(WaitsFor::Child | WaitsFor::Pipe) => true,
                Some(WaitsFor::Other(call)) => {
                    self.seen = Some((look.clone(), call));
                    false
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Whether a process that is not quiet has to be given up on.
    pub(super) fn verdict(&self, waited: Duration, stall: Duration) -> Option<Fault> {
        if let Some((look, call, since)) = &self.offender
            && since.elapsed() > PATIENCE
        {
            return Some(Fault::NotInLockstep { command: process::cmdline(look.pid), call: call.clone() });
        }
        (waited > stall).then(|| Fault::Stalled {
            pid: None,
            command: self
                .offender
                .as_ref()
                .map_or_else(|| "a foreign process".to_owned(), |(look, ..)| process::cmdline(look.pid)),
            why: "neither waited for a child nor exited".to_owned(),
            after: stall,
        })
    }

    pub(super) fn watch_ports(&mut self, ports: Vec<u16>) {
        self.ports = ports;
    }

    /// Whether anything is on its way at a connection to one of the run's ports.
    pub(super) fn in_flight(&mut self, what: Flight) -> bool {
        if !any_flying(what, &self.ports) {
            self.flight = None;
            return false;
        }
        self.flight.get_or_insert_with(Instant::now).elapsed() < FLIGHT
    }
}
