//! What processes and the guard say, as it comes.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::{Connection, ConnectionId, Process, ProcessId, State, Tree};
use crate::control::{Decoder, ENV_ORIGIN, Note, ToProcess, ToRun};
use crate::run::Fault;
use crate::sys::process;

impl Tree {
    /// Takes in what processes and the guard have said; waits for it up to `timeout`. True if anything came.
    pub(in crate::run) fn pump(&mut self, timeout: Duration) -> Result<bool, Fault> {
        self.pump_or(timeout, &[])
    }

    /// As [`Tree::pump`], but waits no longer once one of the descriptors has something to read.
    pub(in crate::run) fn pump_or(&mut self, timeout: Duration, others: &[BorrowedFd<'_>]) -> Result<bool, Fault> {
        if self.cancel.is_set() {
            return Err(Fault::Canceled);
        }
        let mut heard = self.take_ended()?;
        let ready: Vec<bool>;
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        {
            let mut fds = vec![
                PollFd::new(self.guard.socket().as_fd(), PollFlags::POLLIN),
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.notices.socket().as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(self.connections.values().map(|c| PollFd::new(c.stream.as_fd(), PollFlags::POLLIN)));
            fds.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
            // In slices, so that a request to end is seen.
            let millis = if heard { 0 } else { timeout.as_micros().div_ceil(1000).min(100) };
            let timeout = PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            ready = fds.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect();
        }
        if ready[0] {
            self.guard.read()?;
            self.take_ended()?;
            heard = true;
        }
        if ready[1] {
            while let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false)?;
                let id = self.next_connection;
                self.next_connection += 1;
                self.connections.insert(id, Connection { stream, decoder: Decoder::default(), process: None });
            }
            heard = true;
        }
        if ready[2] {
            heard |= self.take_notices()?;
        }
        for (id, _) in ids.into_iter().zip(&ready[3..]).filter(|(_, ready)| **ready) {
            self.hear(id)?;
            heard = true;
        }
        self.confirmed &= !heard;
        Ok(heard)
    }

    pub(super) fn take_ended(&mut self) -> Result<bool, Fault> {
        if !self.guard.has_ended() {
            return Ok(false);
        }
        // What was said before an end is there by now.
        self.take_notices()?;
        while let Some((host, status)) = self.guard.next_ended() {
            let mut silent = false;
            if let Some(id) = self.by_host.remove(&host)
                && let Some(process) = self.processes.get_mut(&id)
            {
                silent = process.silent;
                process.ended(status, self.now);
            }
            self.watches.remove(&host);
            self.quiet = None;
            self.sent |= !silent;
            self.foreign.disturbed();
        }
        Ok(true)
    }

    pub(super) fn hear(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let mut chunk = [0u8; 16384];
        let count = match connection.stream.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => 0,
        };
        if count == 0 {
            return self.hung_up(id);
        }
        connection.decoder.push(&chunk[..count]);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
            let Some(message) = connection.decoder.take::<ToRun>()? else { return Ok(()) };
            let process = connection.process;
            match (message, process) {
                (ToRun::Hello { argv, .. }, _) => self.hello(id, argv)?,
                (message, Some(process)) => self.said(process, message)?,
                (_, None) => return Err(io::Error::other("control protocol: the first message was no hello").into()),
            }
        }
    }

    pub(super) fn hello(&mut self, id: ConnectionId, argv: Vec<String>) -> Result<(), Fault> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let host = getsockopt(&connection.stream, PeerCredentials).map_err(io::Error::from)?.pid();
        let process = match self.by_host.get(&host) {
            Some(known) => *known,
            None => match self.discover(host) {
                Some(found) => found,
                // Not of this run; nobody else has a reason to connect.
                None => {
                    self.connections.remove(&id);
                    return Ok(());
                }
            },
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.process = Some(process);
        }
        self.quiet = None;
        if let Some(process) = self.processes.get_mut(&process) {
            process.connection = Some(id);
            process.greeting = argv;
            process.state = State::Greeting;
        }
        Ok(())
    }

    pub(super) fn said(&mut self, id: ProcessId, message: ToRun) -> Result<(), Fault> {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        match message {
            ToRun::Note { note: Note::Exiting { code, sent }, .. } => {
                process.announced = Some(code);
                process.silent = !sent;
            }
            ToRun::Note { note: Note::Foreign, .. } => {
                process.has_children = true;
                self.expect_strangers();
            }
            ToRun::Note { note, written, .. } => process.notes.push((note, written)),
            // What it said before its end is heard after it: it does nothing any more.
            _ if process.end.is_some() => {}
            ToRun::Wait { seq, deadline, cpu, connections, others, sent, .. } => {
                self.sent |= sent;
                process.state = State::Waiting { seq, deadline, cpu, connections, others, since: now };
            }
            ToRun::Awake { seq } => {
                // A wake that crossed with ours has been answered already.
                if matches!(process.state, State::Waiting { seq: waited, .. } if waited == seq) {
                    process.run_again(now);
                    self.awakenings += 1;
                    self.tell(id, &ToProcess::Woken { seq, now })?;
                }
            }
            ToRun::Quiet { generation } => process.quiet = generation,
            ToRun::Ask { query, .. } => process.state = State::Asking(Some(query)),
            ToRun::Hello { .. } => {}
        }
        Ok(())
    }

    pub(super) fn hung_up(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let Some(connection) = self.connections.remove(&id) else { return Ok(()) };
        let process = connection.process.and_then(|process| self.processes.get_mut(&process));
        self.sent |= process.as_ref().is_none_or(|process| !process.silent);
        if let Some(process) = process {
            process.connection = None;
            if process.end.is_none() {
                // It ends, or it became another program: /proc and the guard will tell.
                process.run_again(self.now);
                if process.direct && !process.has_children {
                    process.state = State::Ending;
                } else {
                    process.state = State::Foreign;
                    self.expect_strangers();
                }
            }
        }
        Ok(())
    }

    /// Takes up a process that nobody announced. `None` if it is not of this run.
    pub(super) fn discover(&mut self, host: i32) -> Option<ProcessId> {
        let origin = process::environment(host, ENV_ORIGIN)?.parse::<ProcessId>().ok()?;
        let look = process::look(host)?;
        let (origin, stream) = self.started.get(&origin)?.clone();
        let parent = self.by_host.get(&look.ppid).copied();
        let id = self.next_provisional;
        self.next_provisional += 1;
        let mut found = Process::new(id, host, origin, process::argv(host), self.now);
        found.parent = parent;
        found.stream = Some(stream);
        found.direct = look.ppid.unsigned_abs() == self.guard.pid();
        self.by_host.insert(host, id);
        self.processes.insert(id, found);
        self.expect_strangers();
        Some(id)
    }

    /// From here on there may be processes that say nothing, others than before: they have to be looked for.
    pub(super) fn expect_strangers(&mut self) {
        self.untracked = true;
        self.quiet = None;
    }
}
