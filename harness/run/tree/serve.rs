//! One thing at a time, in a fixed order: ends, hellos, questions, and the reports between them.

use std::time::{Duration, Instant};

use super::{Origin, PROVISIONAL, Pending, Process, ProcessId, Report, State, Tree};
use crate::run::Fault;
use crate::sys::process;
use crate::unit::signal::SIGKILL;

impl Tree {
    /// The next thing to serve, in the fixed order: notifications, then ends, then hellos and questions, each by number.
    /// Whoever says hello is passed over unless `hellos`.
    pub(in crate::run) fn pending(&mut self, hellos: bool) -> Option<Pending> {
        if let Some(pending) = self.pending_notice() {
            return Some(pending);
        }
        if let Some(process) = self.processes.values_mut().find(|p| p.end.is_some() && !p.is_over()) {
            process.state = State::Ended;
            let id = process.id;
            let status = process.end?;
            return Some(Pending::Ended(id, status));
        }
        let id = self
            .processes
            .values()
            .filter(|process| match process.state {
                State::Greeting => hellos,
                State::Asking(Some(_)) => true,
                _ => false,
            })
            .map(|process| match process.id {
                known if known < PROVISIONAL => (Vec::new(), known),
                unknown => (self.age(process), unknown),
            })
            .min()?
            .1;
        let id = self.served(id);
        let process = self.processes.get_mut(&id)?;
        match &mut process.state {
            State::Greeting => {
                process.argv = std::mem::take(&mut process.greeting);
                Some(Pending::Hello(id))
            }
            State::Asking(query) => {
                let query = query.take()?;
                process.state = State::Asked;
                Some(Pending::Ask(id, query))
            }
            _ => None,
        }
    }

    /// Whether somebody has said hello and was not welcomed yet.
    pub(in crate::run) fn somebody_greets(&self) -> bool {
        self.processes.values().any(|process| process.end.is_none() && matches!(process.state, State::Greeting))
    }

    /// For processes that were never served: the order of birth, generation by generation. Siblings are born in the
    /// order in which their parent forks; which of two cousins is first is for the scheduler to say, so their
    /// parents decide.
    pub(super) fn age(&self, process: &Process) -> Vec<u64> {
        let mut chain = Vec::new();
        let mut host = process.host;
        while let Some(parent) =
            process::parent(host).filter(|_| host.unsigned_abs() != self.guard.pid() && chain.len() < 64)
        {
            // A smaller PID than the parent's: the numbers have wrapped around.
            let wrapped = u64::from(host < parent) << 32;
            chain.push(wrapped | u64::from(host.unsigned_abs()));
            host = parent;
        }
        chain.reverse();
        chain
    }

    /// Gives a process its final number.
    pub(super) fn served(&mut self, id: ProcessId) -> ProcessId {
        if id < PROVISIONAL {
            return id;
        }
        let Some(mut process) = self.processes.remove(&id) else { return id };
        let new = self.next_process;
        self.next_process += 1;
        process.id = new;
        self.by_host.insert(process.host, new);
        if let Some(connection) = process.connection.and_then(|connection| self.connections.get_mut(&connection)) {
            connection.process = Some(new);
        }
        self.processes.insert(new, process);
        for child in self.processes.values_mut().filter(|child| child.parent == Some(id)) {
            child.parent = Some(new);
        }
        new
    }

    /// Gives all live processes a final number, in order of birth: they are about to be shown.
    pub(in crate::run) fn serve_all(&mut self) {
        let mut strangers: Vec<(Vec<u64>, ProcessId)> = self
            .alive()
            .filter(|process| process.id >= PROVISIONAL)
            .map(|process| (self.age(process), process.id))
            .collect();
        strangers.sort_unstable();
        for (_, id) in strangers {
            self.served(id);
        }
    }

    pub(in crate::run) fn parent(&self, process: &Process) -> Option<&Process> {
        self.by_host_pid(process::parent(process.host)?)
    }

    /// Under a wall clock: from here on lines are taken only as far as they are written now, so that a message that was
    /// sent between two lines stays between them, whichever is read first.
    pub(in crate::run) fn mark_streams(&mut self) -> Result<(), Fault> {
        for stream in &mut self.streams {
            stream.known = Some(stream.file.metadata()?.len());
        }
        Ok(())
    }

    /// What processes have said and written since the last call, process by process in order.
    pub(in crate::run) fn reports(&mut self) -> Result<Vec<(ProcessId, Report)>, Fault> {
        let mut out = Vec::new();
        for process in self.processes.values_mut() {
            let id = process.id;
            for (note, written) in process.notes.drain(..) {
                if let Some(index) = process.stream {
                    let until = process.stream_base + written;
                    self.streams[index].lines(Some(until), |line| out.push((id, Report::Line(line))))?;
                }
                out.push((id, Report::Note(note)));
            }
            // What a command prints is its output; only a server's lines are log lines, in whoever's file.
            let reads = process.server || matches!(process.origin, Origin::Unit { .. });
            if let Some(index) = process.stream.filter(|_| reads && !process.is_over()) {
                // Who has ended says nothing more.
                let until = self.streams[index].known.filter(|_| process.end.is_none());
                self.streams[index].lines(until, |line| out.push((id, Report::Line(line))))?;
                if process.end.is_some() && process.direct {
                    self.streams[index].last_line(|line| out.push((id, Report::Line(line))));
                }
            }
        }
        Ok(out)
    }

    /// Forgets processes whose end has been handed out.
    pub(in crate::run) fn forget_ended(&mut self) {
        self.processes.retain(|_, process| !process.is_over());
    }

    /// Waits until a set of processes is gone: for a reboot.
    pub(in crate::run) fn kill_all(&mut self) -> Result<(), Fault> {
        let begin = Instant::now();
        loop {
            let hosts = process::descendants(self.guard.pid());
            let client: Vec<i32> =
                self.alive().filter(|process| process.origin == Origin::Client).map(|process| process.host).collect();
            let hosts: Vec<i32> = hosts
                .into_iter()
                .filter(|host| !client.contains(host) && process::look(*host).is_some_and(|look| look.state != 'Z'))
                .collect();
            if hosts.is_empty() {
                self.guard.sync()?;
                self.take_ended()?;
                self.expect_strangers();
                return Ok(());
            }
            for host in hosts {
                self.guard.signal(host, SIGKILL)?;
            }
            self.guard.sync()?;
            self.pump(Duration::from_millis(1))?;
            if begin.elapsed() > self.stall {
                return Err(Fault::Stalled {
                    pid: None,
                    command: "reboot".to_owned(),
                    why: "could not kill every process".to_owned(),
                    after: self.stall,
                });
            }
        }
    }
}
