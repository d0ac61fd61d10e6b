//! What is done to processes: they are started, signalled, answered and woken.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::{HARMLESS, Process, ProcessId, Start, State, Tree};
use crate::control::{Answer, ENV_KILL, Launch, Sink, Step, ToProcess, Welcome, encode};
use crate::run::Fault;
use crate::unit::signal::SIGKILL;

impl Tree {
    /// Starts a program under the guard.
    pub(in crate::run) fn start(&mut self, start: Start) -> Result<Result<ProcessId, (Step, i32)>, Fault> {
        let index = self.stream_for(&start.origin)?;
        let journal = Sink::Append(self.streams[index].path.to_string_lossy().into_owned());
        let Start { argv, mut environment, origin, ours, output, .. } = start;
        let owned = start.descriptors.iter().map(AsRawFd::as_raw_fd);
        let numbers: Vec<RawFd> = owned.chain(start.stored.iter().map(|stored| stored.number())).collect();
        let (stdout, stderr) = (output.0.unwrap_or_else(|| journal.clone()), output.1.unwrap_or(journal));
        let stderr = (stderr != stdout).then_some(stderr);
        let id = self.next_process;
        environment.push((crate::control::ENV_CONTROL.to_owned(), self.socket.clone()));
        environment.push((crate::control::ENV_ORIGIN.to_owned(), id.to_string()));
        environment.push((ENV_KILL.to_owned(), self.kill_command.clone()));
        // For scripts that nobody could write the function into; shells that are not bash have nothing like it.
        environment.push(("BASH_ENV".to_owned(), self.kill_function.clone()));
        let launch = Launch {
            program: start.program,
            argv: argv.clone(),
            environment,
            directory: start.directory,
            stdout,
            stderr,
            umask: start.umask,
            ignore_sigpipe: start.ignore_sigpipe,
            descriptors: u32::try_from(numbers.len()).unwrap_or(u32::MAX),
            socket_streams: start.socket_streams,
            own_pid: start.own_pid,
            pid: start.wanted_pid,
        };
        let host = match self.guard.spawn(&numbers, launch)? {
            Ok(host) => host,
            Err(why) => return Ok(Err(why)),
        };
        self.started.insert(id, (origin.clone(), index));
        self.next_process += 1;
        self.fresh.push(id);
        let mut process = Process::new(id, host, origin, argv, self.now);
        process.pid = start.pid;
        process.direct = true;
        process.stream = Some(index);
        process.state = if ours { State::Starting } else { State::Foreign };
        if !ours {
            self.expect_strangers();
        }
        self.by_host.insert(host, id);
        self.processes.insert(id, process);
        Ok(Ok(id))
    }

    /// Whether nobody has waited yet for what the process does first.
    pub(in crate::run) fn is_fresh(&self, id: ProcessId) -> bool {
        self.fresh.contains(&id)
    }

    /// Sends a signal to a live process.
    pub(in crate::run) fn signal(&mut self, id: ProcessId, signal: i32) -> Result<bool, Fault> {
        // A PID whose process has been reaped meanwhile is nobody's, or a stranger's.
        self.take_ended()?;
        let Some(process) = self.processes.get_mut(&id).filter(|process| process.end.is_none()) else {
            return Ok(false);
        };
        if signal != 0 {
            if !HARMLESS.contains(&signal) {
                process.last_signal = Some(signal);
            }
            let host = process.host;
            self.guard.signal(host, signal)?;
            // The signal must be pending before anything is decided on.
            self.guard.sync()?;
            self.foreign.disturbed();
            self.signalled = true;
            self.confirmed = false;
            if signal == SIGKILL
                && let Some(process) = self.processes.get_mut(&id)
            {
                // Nobody survives it: until it is gone nothing is settled, so that of several that are killed at once the
                // ends come in their order.
                process.stopped = false;
                process.run_again(self.now);
                if process.direct {
                    process.state = State::Ending;
                } else {
                    // Its parent may not reap it: /proc will tell.
                    process.connection = None;
                    process.state = State::Foreign;
                    self.expect_strangers();
                }
            }
        }
        Ok(true)
    }

    pub(in crate::run) fn welcome(&mut self, id: ProcessId, welcome: Welcome) -> Result<(), Fault> {
        let server = matches!(welcome.role, crate::control::Role::Server(_));
        let mut base = 0;
        if let Some(index) = self.processes.get(&id).and_then(|process| process.stream) {
            let stream = &mut self.streams[index];
            base = stream.file.metadata()?.len();
            if server {
                // What a shell before it has printed is not the server's.
                stream.read = base;
            }
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.state = State::Running;
            process.stream_base = base;
            process.server = server;
        }
        self.tell(id, &ToProcess::Welcome(Box::new(welcome)))
    }

    pub(in crate::run) fn answer(&mut self, id: ProcessId, answer: Answer) -> Result<(), Fault> {
        // Whoever asked may have died of it.
        if let Some(process) = self.processes.get_mut(&id).filter(|process| process.end.is_none()) {
            process.state = State::Running;
            self.tell(id, &ToProcess::Answer(answer))?;
        }
        Ok(())
    }

    /// Ends the wait of one process.
    pub(in crate::run) fn wake(&mut self, id: ProcessId) -> Result<(), Fault> {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&id) else { return Ok(()) };
        if let State::Waiting { seq, .. } = process.state {
            process.run_again(now);
            self.tell(id, &ToProcess::Woken { seq, now })?;
        }
        Ok(())
    }

    /// Another process has ended or begun: whoever waits for that is to look again.
    pub(in crate::run) fn others_changed(&mut self) {
        let waiting =
            self.processes.values().filter(|process| matches!(process.state, State::Waiting { others: true, .. }));
        self.hopeful.extend(waiting.map(|process| process.id));
    }

    /// Wakes the first of those who are to look again. False if there is none.
    pub(in crate::run) fn wake_hopeful(&mut self) -> Result<bool, Fault> {
        while let Some(id) = self.hopeful.pop_first() {
            let process = self.processes.get(&id);
            if process.is_some_and(|process| matches!(process.state, State::Waiting { others: true, .. })) {
                self.wake(id)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn tell(&mut self, id: ProcessId, message: &ToProcess) -> Result<(), Fault> {
        let Some(connection) =
            self.processes.get(&id).and_then(|process| process.connection).and_then(|id| self.connections.get_mut(&id))
        else {
            return Ok(());
        };
        self.confirmed &= matches!(message, ToProcess::Probe { .. });
        // A process that died meanwhile is reported by the guard.
        let _ = io::Write::write_all(&mut connection.stream, &encode(message)?);
        Ok(())
    }
}
