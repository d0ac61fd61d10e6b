//! Whether foreign processes are quiet: kernel state as truth, because nobody announces what they do.
//!
//! A foreign process (a shell, `grep`) runs until it exits, except while all it does is wait for its children or at
//! a pipe. One that sleeps on a timer of its own, or serves, cannot be in lock-step; it is named, never waited for
//! in silence.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Fault;
use crate::sys::process::{self, Look, WaitsFor};

/// A sleep on a timer of its own that lasts this long of real time without a break is reported.
const PATIENCE: Duration = Duration::from_secs(2);
/// A zombie that its parent has not reaped for this long will stay one.
const ZOMBIE: Duration = Duration::from_millis(100);
/// What may be on its way between processes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    /// Connections that are being opened, and data.
    Data,
    /// Connections that are being opened: nobody waits for data.
    Opening,
}

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
    pub(super) fn is_quiet(&mut self, look: &Look) -> bool {
        match look.state {
            'T' | 't' => true,
            'Z' | 'X' => self.zombies.entry((look.pid, look.start)).or_insert_with(Instant::now).elapsed() > ZOMBIE,
            'S' => match process::waits_for(look.pid) {
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

    /// Whether a connection of the run's ports has data that its receiver's kernel has not confirmed, or is being
    /// opened: on loopback that takes no time, but under load the kernel may put it off.
    pub(super) fn in_flight(&mut self, what: Flight) -> bool {
        let flying = ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|path| {
            let table = std::fs::read_to_string(path);
            table.is_ok_and(|table| table.lines().skip(1).any(|line| self.is_flying(what, line)))
        });
        if !flying {
            self.flight = None;
            return false;
        }
        self.flight.get_or_insert_with(Instant::now).elapsed() < FLIGHT
    }

    fn is_flying(&self, what: Flight, line: &str) -> bool {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let port = |field: Option<&str>| field.and_then(|text| u16::from_str_radix(text.rsplit(':').next()?, 16).ok());
        let (local, remote) = (port(fields.next()), port(fields.next()));
        let ours = [local, remote].into_iter().flatten().any(|port| self.ports.contains(&port));
        if !ours {
            return false;
        }
        let state = fields.next().unwrap_or_default();
        let queued = fields.next().and_then(|queues| queues.split(':').next()).unwrap_or_default();
        let unconfirmed = queued.bytes().any(|digit| digit != b'0');
        // SYN_SENT, SYN_RECV; ESTABLISHED, FIN_WAIT1, CLOSE_WAIT, LAST_ACK, CLOSING with bytes under way.
        matches!(state, "02" | "03")
            || (what == Flight::Data && unconfirmed && matches!(state, "01" | "04" | "08" | "09" | "0B"))
    }
}
