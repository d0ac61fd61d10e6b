//! Lock-step: when nobody runs, and the barrier before the clock moves.

use std::time::{Duration, Instant};

use super::{ProcessId, State, Tree};
use crate::control::{Status, ToProcess};
use crate::run::Fault;
use crate::sys::connections::Flight;
use crate::sys::process::{self, Look, Watch};

/// How long a process may be silent before it is looked at.
const STOPPED: Duration = Duration::from_millis(20);

/// All foreign processes, seen to be quiet.
#[derive(Debug)]
pub(super) struct Print {
    looks: Vec<Look>,
    /// The guard's children.
    orphans: Vec<i32>,
}

impl Tree {
    /// Waits until nobody runs: every process of ours waits, asks or greets, every foreign one sleeps for a child
    /// or at a pipe.
    pub(in crate::run) fn settle(&mut self) -> Result<(), Fault> {
        let begin = Instant::now();
        self.confirmed = false;
        let stopped: Vec<ProcessId> =
            self.alive().filter(|process| process.stopped).map(|process| process.id).collect();
        for id in stopped {
            self.is_stopped(id);
        }
        let mut pause = Duration::from_micros(100);
        loop {
            if let Some(runner) = self.runner() {
                let left = self.stall.saturating_sub(begin.elapsed());
                if !self.pump(left.min(STOPPED))? {
                    if left.is_zero() {
                        return Err(self.stalled(runner));
                    }
                    self.is_stopped(runner);
                }
                continue;
            }
            if self.pump(Duration::ZERO)? {
                continue;
            }
            if !self.untracked {
                self.fresh.clear();
                return Ok(());
            }
            if let Some(print) = self.quiet.take()
                && self.is_still(&print)
            {
                if self.looks != print.looks {
                    self.sent = true;
                    self.looks.clone_from(&print.looks);
                }
                self.quiet = Some(print);
                self.fresh.clear();
                return Ok(());
            }
            self.quiet = self.look_around()?;
            if self.quiet.is_none() {
                if let Some(fault) = self.foreign.verdict(begin.elapsed(), self.stall) {
                    return Err(fault);
                }
                self.pump(pause)?;
                pause = (pause * 2).min(Duration::from_millis(5));
            }
        }
    }

    /// Somebody of ours who runs.
    pub(super) fn runner(&self) -> Option<ProcessId> {
        self.processes
            .values()
            .find(|process| {
                process.end.is_none()
                    && !process.stopped
                    && matches!(process.state, State::Starting | State::Running | State::Ending)
            })
            .map(|process| process.id)
    }

    /// Looks whether a process that does not answer is stopped.
    pub(super) fn is_stopped(&mut self, id: ProcessId) -> bool {
        let Some(process) = self.processes.get_mut(&id) else { return false };
        process.stopped = process::look(process.host).is_some_and(|look| matches!(look.state, 'T' | 't'));
        process.stopped
    }

    pub(super) fn stalled(&self, id: ProcessId) -> Fault {
        let Some(process) = self.processes.get(&id) else { return Fault::Canceled };
        Fault::Stalled {
            pid: process.pid,
            command: process.argv.join(" "),
            why: "neither slept, parked nor exited".to_owned(),
            after: self.stall,
        }
    }

    /// Under a wall clock nothing settles: ends that no one reports are looked for now and then.
    pub(in crate::run) fn look_for_orphans(&mut self) -> Result<(), Fault> {
        if self.untracked && self.looked.is_none_or(|last| last.elapsed() > Duration::from_millis(20)) {
            self.looked = Some(Instant::now());
            // Here somebody is always busy.
            self.busy = None;
            self.look_around()?;
        }
        Ok(())
    }

    /// Takes up every process of the run that nobody has announced; on a wall clock there may be some at any moment.
    /// The host PIDs of all.
    pub(in crate::run) fn discover_all(&mut self) -> Vec<i32> {
        let hosts = process::descendants(self.guard.pid());
        for host in &hosts {
            if !self.by_host.contains_key(host) {
                self.discover(*host);
            }
        }
        hosts
    }

    /// Whether the process is one of ours, that says what it does.
    fn is_connected(&self, host: i32) -> bool {
        let process = self.by_host.get(&host).and_then(|id| self.processes.get(id));
        process.is_some_and(|process| process.connection.is_some())
    }

    /// Whether all is as it was. Who was quiet and has not run since has done nothing, and begun nobody; whom somebody left
    /// behind is now the guard's.
    fn is_still(&mut self, print: &Print) -> bool {
        self.orphans() == print.orphans
            && print.looks.iter().all(|look| self.watch(look.pid).look().as_ref() == Some(look))
    }

    /// The guard's children.
    fn orphans(&mut self) -> Vec<i32> {
        let guard = self.guard.pid();
        i32::try_from(guard).map_or_else(|_| Vec::new(), |guard| self.watch(guard).children(1))
    }

    fn watch(&mut self, host: i32) -> &mut Watch {
        self.watches.entry(host).or_insert_with(|| Watch::new(host))
    }

    /// A look at a process, and whether it can do nothing until somebody else does something. `None` if it is gone.
    fn look(&mut self, host: i32) -> Option<(Look, bool)> {
        let Tree { watches, notices, foreign, .. } = self;
        let watch = watches.entry(host).or_insert_with(|| Watch::new(host));
        let Some(look) = watch.look() else {
            watches.remove(&host);
            return None;
        };
        let quiet = notices.holds(&look) || foreign.is_quiet(&look, watch);
        Some((look, quiet))
    }

    /// One pass over all foreign processes: a fingerprint if all are quiet.
    pub(super) fn look_around(&mut self) -> Result<Option<Print>, Fault> {
        self.foreign.begin();
        // Whoever was busy in the last pass probably still is: then nobody else need be looked at.
        if let Some(host) = self.busy.take()
            && !self.is_connected(host)
            && let Some((_, false)) = self.look(host)
        {
            self.busy = Some(host);
            return Ok(None);
        }
        let orphans = self.orphans();
        let mut hosts = orphans.clone();
        let mut looks = Vec::new();
        let mut quiet = true;
        let mut foreign = false;
        let mut left: Vec<ProcessId> = Vec::new();
        let mut next = 0;
        while let Some(&host) = hosts.get(next) {
            next += 1;
            if !self.by_host.contains_key(&host) {
                self.discover(host);
            }
            // Programs of ours have one thread.
            let mut threads = 1;
            if !self.is_connected(host) {
                foreign = true;
                match self.look(host) {
                    Some((look, true)) => {
                        threads = look.threads;
                        // Its parent does not reap it, but it has ended, and is in no control group any more.
                        left.extend(self.by_host.get(&host).filter(|_| look.state == 'Z'));
                        looks.push(look);
                    }
                    other => {
                        threads = other.map_or(1, |(look, _)| look.threads);
                        quiet = false;
                        self.busy = Some(host);
                    }
                }
            }
            // After the look: whoever begins a child later has to run for it.
            hosts.extend(self.watch(host).children(threads));
        }
        let guard = self.guard.pid();
        self.watches.retain(|host, _| host.unsigned_abs() == guard || hosts.contains(host));
        // Whoever is known but no longer there has been reaped by a parent of its own, or by the guard.
        let mut missing: Vec<ProcessId> = self
            .processes
            .values()
            .filter(|process| process.end.is_none() && process.connection.is_none() && !hosts.contains(&process.host))
            .map(|process| process.id)
            .collect();
        missing.append(&mut left);
        if !missing.is_empty() {
            self.guard.sync()?;
            self.take_ended()?;
            for id in missing {
                self.vanished(id);
            }
            return Ok(None);
        }
        if !quiet {
            return Ok(None);
        }
        let parents = self.processes.values().any(|process| process.end.is_none() && process.has_children);
        if !foreign && !parents {
            self.untracked = false;
        }
        Ok(Some(Print { looks, orphans }))
    }

    /// A process that another process reaped: its end is what it announced, or what was done to it.
    pub(super) fn vanished(&mut self, id: ProcessId) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.end.is_some() || process::look(process.host).is_some_and(|look| look.state != 'Z') {
            return;
        }
        self.watches.remove(&process.host);
        self.quiet = None;
        let status = match (process.announced, process.last_signal) {
            (Some(code), _) => Status::Code(code),
            (None, Some(signal)) => Status::Signal(signal),
            (None, None) => Status::Code(0),
        };
        self.by_host.remove(&process.host);
        process.reaped_by_parent = true;
        process.ended(status, now);
    }

    /// The barrier before the clock moves: nobody has anything pending, and nothing is on its way. False if somebody
    /// runs again.
    pub(in crate::run) fn barrier(&mut self) -> Result<bool, Fault> {
        // A message in flight keeps its sender's or receiver's queue filled until it has been read.
        let flight = match (self.somebody_talks(), self.connections_expected) {
            (true, _) => Some(Flight::Data),
            (false, true) => Some(Flight::Opening),
            (false, false) => None,
        };
        if let Some(flight) = flight.filter(|_| self.sent) {
            if self.foreign.in_flight(flight) {
                return Ok(false);
            }
            self.sent &= flight != Flight::Data;
            // It may have arrived just now.
            self.confirmed = false;
        }
        Ok(self.confirmed || self.confirm()?)
    }

    /// Has everybody noticed what was sent to them? Of several who were sent a signal at once, one may have ended before
    /// another has so much as woken up; who is left must not depend on it. False if somebody runs again.
    pub(in crate::run) fn signals_noticed(&mut self) -> Result<bool, Fault> {
        let noticed = !self.signalled || self.confirm()?;
        self.signalled &= !noticed;
        Ok(noticed)
    }

    /// Makes sure that nothing is pending for anybody who waits. False if somebody runs again.
    pub(in crate::run) fn confirm(&mut self) -> Result<bool, Fault> {
        // Who sleeps in poll(2) has nothing pending: whatever that is would have woken it. Of the others some may be on
        // their way there, and are asked.
        let mut waiting: Vec<(ProcessId, i32)> = self
            .processes
            .values()
            .filter(|process| process.connection.is_some() && matches!(process.state, State::Waiting { .. }))
            .map(|process| (process.id, process.host))
            .collect();
        waiting.retain(|(_, host)| !self.watch(*host).sleeps_in_poll());
        let waiting: Vec<ProcessId> = waiting.into_iter().map(|(id, _)| id).collect();
        // Who was awake has said so before it slept.
        if self.pump(Duration::ZERO)? {
            return Ok(false);
        }
        self.generation += 1;
        let generation = self.generation;
        for id in &waiting {
            self.tell(*id, &ToProcess::Probe { generation })?;
        }
        let begin = Instant::now();
        let awakenings = self.awakenings;
        for id in &waiting {
            while let Some(process) = self.processes.get(id) {
                // Whoever woke up may wait again already: its answer to this probe will never come, and it may have
                // woken others.
                if self.awakenings != awakenings || !matches!(process.state, State::Waiting { .. }) {
                    return Ok(false);
                }
                if process.quiet == generation {
                    break;
                }
                if begin.elapsed() > self.stall {
                    return Err(self.stalled(*id));
                }
                if !self.pump(STOPPED)? && self.is_stopped(*id) {
                    break;
                }
            }
        }
        let still = |id: &ProcessId| {
            self.processes.get(id).is_some_and(|process| matches!(process.state, State::Waiting { .. }))
        };
        self.confirmed = self.awakenings == awakenings && waiting.iter().all(still);
        Ok(self.confirmed)
    }

    /// Whether somebody waits at a connection.
    pub(in crate::run) fn somebody_talks(&self) -> bool {
        self.processes.values().any(|process| matches!(process.state, State::Waiting { connections: true, .. }))
    }

    /// Whether anybody may be opening a connection without waiting for an answer.
    pub(in crate::run) fn expect_connections(&mut self, expected: bool) {
        self.connections_expected = expected;
    }

    /// Ports whose connections may hold data in flight.
    pub(in crate::run) fn watch_ports(&mut self, ports: Vec<u16>) {
        self.foreign.watch_ports(ports);
    }
}
