//! A process's end of the control protocol: now, waiting, notes, questions.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::control::{self, Answer, Decoder, ENV_CONTROL, Mapping, Note, Query, Role, ToProcess, ToRun, Welcome};
use crate::sys::connections::has_arrived;
use crate::sys::sock_diag::SockDiag;
use crate::time::IncidentTime;

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// The deadline came.
    Deadline,
    /// A signal is pending; it has been taken.
    Signal(Signal),
    /// A descriptor of the list can be read, by index.
    Readable(usize),
}

/// The connection of this process to its run.
#[derive(Debug)]
pub struct Link {
    /// `None`: no run, time passes at once (see [`control::ENV_ALONE`]).
    stream: Option<UnixStream>,
    decoder: Decoder,
    signals: Option<SignalFd>,
    now: IncidentTime,
    pid: u32,
    mapping: Mapping,
    wall_scale: Option<u64>,
    hostname: String,
    /// Whether what is printed is told, too.
    tells_lines: bool,
    speaks_to_host: bool,
    seq: u64,
    /// The two ends of connections that were used since the last wait, or on which something was on its way then, and
    /// whether they are being opened.
    under_way: BTreeMap<(SocketAddr, SocketAddr), bool>,
    /// Whom to ask about them.
    kernel: Option<SockDiag>,
    /// Whether there ever were any.
    has_sent: bool,
    written: u64,
    /// Notes go out with the next wait or question: until then nobody could do anything with them.
    outbox: Vec<u8>,
}

/// Real milliseconds in which the other end of a connection mostly has answered, if it does so without waiting for anything. Who
/// is too late, because the machine is busy, is waited for like everybody else: it makes no difference but in what it costs.
const PATIENCE: u16 = 2;

impl Link {
    /// A process without a run: it is told by the environment what it is, and its waits take no time.
    pub fn alone(welcome: Welcome) -> (Link, Role) {
        Self::welcomed(None, Decoder::default(), welcome)
    }

    fn welcomed(stream: Option<UnixStream>, decoder: Decoder, welcome: Welcome) -> (Link, Role) {
        let link = Link {
            stream,
            decoder,
            signals: None,
            now: welcome.now,
            pid: welcome.pid,
            mapping: welcome.mapping,
            wall_scale: welcome.wall_scale,
            hostname: welcome.hostname,
            tells_lines: welcome.tells_lines,
            speaks_to_host: false,
            seq: 0,
            under_way: BTreeMap::new(),
            kernel: None,
            has_sent: false,
            written: 0,
            outbox: Vec::new(),
        };
        (link, welcome.role)
    }

    /// Connects to the run named in the environment and says hello.
    ///
    /// # Errors
    ///
    /// The run is gone, or speaks another version.
    pub fn connect(args: &[String]) -> io::Result<(Link, Role)> {
        let path = std::env::var(ENV_CONTROL).map_err(io::Error::other)?;
        let mut stream = UnixStream::connect(&path).map_err(|error| {
            io::Error::new(error.kind(), format!("the run of this process is gone ({path}): {error}"))
        })?;
        let mut decoder = Decoder::default();
        control::send(&mut stream, &ToRun::Hello { thread: 0, argv: args.to_vec() })?;
        let Some(ToProcess::Welcome(welcome)) = control::receive(&mut stream, &mut decoder)? else {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the run did not welcome this process"));
        };
        Ok(Self::welcomed(Some(stream), decoder, *welcome))
    }

    /// The incident time of the last word from the run; time stands still while this process runs.
    pub fn now(&self) -> IncidentTime {
        self.now
    }

    /// Incident microseconds per real one, times 1000; `None` in lock-step.
    pub fn wall_scale(&self) -> Option<u64> {
        self.wall_scale
    }

    /// Incident PID of this process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where the two worlds meet.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Host name of the incident's machine.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Something was sent on a connection between these ends, or it is being closed: until the other end has all, the clock
    /// must not move. Without ends it is one between files: what is sent on it is there.
    pub fn sends(&mut self, ends: Option<(SocketAddr, SocketAddr)>) {
        self.has_sent = true;
        if let Some(ends) = ends {
            self.under_way.entry(ends).or_insert(false);
        }
    }

    /// As [`Link::sends`], of a connection that this process has opened just now.
    pub fn opens(&mut self, ends: Option<(SocketAddr, SocketAddr)>) {
        self.has_sent = true;
        self.under_way.extend(ends.map(|ends| (ends, true)));
    }

    /// Whether anything is on its way, as far as the kernel tells.
    fn is_anything_under_way(&mut self) -> bool {
        if self.wall_scale.is_some() {
            // Nobody asks.
            self.under_way.clear();
        }
        if self.under_way.is_empty() {
            return false;
        }
        if self.kernel.is_none() {
            self.kernel = SockDiag::open().ok();
        }
        let Some(kernel) = &mut self.kernel else { return true };
        self.under_way.retain(|(local, peer), opening| !has_arrived(kernel, *local, *peer, *opening));
        !self.under_way.is_empty()
    }

    /// From now on these signals end waits instead of doing what they do by default.
    pub fn take_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        let mut set = SigSet::empty();
        for signal in signals {
            set.add(*signal);
        }
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
        self.signals = Some(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?);
        Ok(())
    }

    /// Signals do again what they do by default.
    pub fn leave_signals(&mut self) -> io::Result<()> {
        self.signals = None;
        Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
    }

    /// Ends this process by a signal's default action.
    pub fn die_by(&mut self, signal: Signal) -> ! {
        if self.tells_lines {
            self.note(Note::Dying { signal: signal as i32 });
        }
        self.flush();
        let mut set = SigSet::empty();
        set.add(signal);
        // Rust's runtime installs no handler for these, so the default action is still in place.
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
        let _ = nix::sys::signal::raise(signal);
        // An inherited "ignore" is the one way to get here.
        std::process::exit(128 + signal as i32)
    }

    /// Writes a line to standard error, counted.
    pub fn stderr(&mut self, line: &str) {
        self.stderr_part(&format!("{line}\n"));
        if self.tells_lines {
            self.note(Note::Printed { line: line.to_owned() });
        }
    }

    /// Writes to standard error without ending the line, counted.
    pub fn stderr_part(&mut self, text: &str) {
        let host = self.to_host(text.as_bytes());
        let bytes = host.as_deref().unwrap_or(text.as_bytes());
        if io::stderr().write_all(bytes).is_ok() {
            self.written += bytes.len() as u64;
        }
    }

    /// Writes to standard output, counted.
    pub fn stdout(&mut self, bytes: &[u8]) {
        let host = self.to_host(bytes);
        let bytes = host.as_deref().unwrap_or(bytes);
        let mut out = io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_ok() {
            self.written += bytes.len() as u64;
        }
        drop(out);
        if self.tells_lines {
            let lines: Vec<String> = String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect();
            lines.into_iter().for_each(|line| self.note(Note::Printed { line }));
        }
    }

    /// From here on what is printed is in the host's terms: whoever reads it at the other end of a pipe was given its
    /// patterns in them, and a console takes its output back into the incident's.
    pub fn speak_to_host(&mut self) {
        self.speaks_to_host = true;
    }

    fn to_host(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(bytes).ok().filter(|_| self.speaks_to_host)?;
        Some(self.mapping.to_host(text).into_bytes())
    }

    /// Tells the run what happened.
    pub fn note(&mut self, note: Note) {
        // Connections that it has not accepted end with it.
        self.has_sent |= matches!(note, Note::Listening { .. });
        let at = if self.tells_lines { crate::sys::real_time() } else { 0 };
        let message = ToRun::Note { note, written: self.written, at };
        if let Ok(frame) = control::encode(&message) {
            self.outbox.extend(frame);
        }
        if self.wall_scale.is_some() {
            // Lines that follow may be read at any moment.
            self.flush();
        }
    }

    /// Says the exit code that is about to come.
    pub fn exiting(&mut self, code: u8) {
        self.note(Note::Exiting { code, sent: self.has_sent });
        self.flush();
    }

    /// Asks a question.
    pub fn ask(&mut self, query: Query) -> Answer {
        let message = ToRun::Ask { query, written: self.written };
        self.send(&message);
        loop {
            if let ToProcess::Answer(answer) = self.receive() {
                if let Answer::Output { now, .. } | Answer::Processes { now, .. } = &answer {
                    self.now = *now;
                }
                return answer;
            }
        }
    }

    /// Waits until the deadline, a signal, or data. `cpu` is the share of a CPU that the wait stands for: under a
    /// wall clock it is really burnt.
    pub fn wait(&mut self, deadline: Option<IncidentTime>, cpu: u8, connections: bool, fds: &[BorrowedFd<'_>]) -> Woke {
        self.wait_or(deadline, cpu, connections, false, fds)
    }

    /// As [`Link::wait`] with nothing to do, but ends like at the deadline also when another process has ended, so that
    /// what it had may be free now. Of several who wait so, each is woken once those before it have nothing to do again.
    pub fn wait_for_others(&mut self, deadline: Option<IncidentTime>) -> Woke {
        self.wait_or(deadline, 0, false, true, &[])
    }

    fn wait_or(
        &mut self,
        deadline: Option<IncidentTime>,
        cpu: u8,
        connections: bool,
        others: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Woke {
        if self.stream.is_none()
            && let Some(deadline) = deadline
        {
            self.now = self.now.max(deadline);
            return Woke::Deadline;
        }
        // In lock-step, what is there already takes no time, and what comes while this process runs neither: nobody need know
        // that it was waited for.
        let patience = if connections { PATIENCE } else { 0 };
        if self.wall_scale.is_none()
            && let Some(woke) = self.look(fds, Some(patience)).own.and_then(|index| self.woken_by(index))
        {
            return woke;
        }
        self.seq += 1;
        let seq = self.seq;
        let sent = self.is_anything_under_way();
        let message = ToRun::Wait { seq, deadline, cpu, connections, others, sent, written: self.written };
        self.send(&message);
        loop {
            // Descriptors before the run's word: an early wake is one-sided.
            let buffered = self.decoder.is_ready();
            let ready = self.look(fds, if buffered { Some(0) } else { self.burn(cpu) });
            if let Some(index) = ready.own {
                let Some(woke) = self.woken_by(index) else { continue };
                self.send(&ToRun::Awake { seq });
                loop {
                    match self.receive() {
                        ToProcess::Woken { seq: answered, now } if answered == seq => {
                            self.now = now;
                            return woke;
                        }
                        _ => {}
                    }
                }
            }
            if ready.run || buffered {
                match self.receive() {
                    ToProcess::Woken { seq: answered, now } if answered == seq => {
                        self.now = now;
                        return Woke::Deadline;
                    }
                    ToProcess::Probe { generation } if self.look(fds, Some(0)).own.is_none() => {
                        self.send(&ToRun::Quiet { generation });
                    }
                    _ => {}
                }
            }
        }
    }

    /// What a descriptor of its own tells: no index is the signals', one of which is taken.
    fn woken_by(&self, index: Option<usize>) -> Option<Woke> {
        let Some(index) = index else {
            let info = self.signals.as_ref()?.read_signal().ok().flatten()?;
            return Some(Woke::Signal(Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?));
        };
        Some(Woke::Readable(index))
    }

    /// Under a wall clock, spins for the busy part of a 20 ms slice and returns the idle part as poll timeout.
    fn burn(&self, cpu: u8) -> Option<u16> {
        if cpu == 0 || self.wall_scale.is_none() {
            return None;
        }
        let slice = 20u16;
        let busy = slice * u16::from(cpu.min(100)) / 100;
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(u64::from(busy)) {
            std::hint::spin_loop();
        }
        Some(slice - busy)
    }

    fn look(&self, fds: &[BorrowedFd<'_>], timeout: Option<u16>) -> Ready {
        let Some(stream) = &self.stream else { return Ready { run: false, own: None } };
        let mut polled = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        if let Some(signals) = &self.signals {
            polled.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        }
        let first = polled.len();
        polled.extend(fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let timeout = timeout.map_or(PollTimeout::NONE, PollTimeout::from);
        if poll(&mut polled, timeout) == Err(Errno::EINTR) {
            return Ready { run: false, own: None };
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let own =
            if first == 2 && ready(&polled[1]) { Some(None) } else { polled[first..].iter().position(ready).map(Some) };
        Ready { run: ready(&polled[0]), own }
    }

    fn send(&mut self, message: &ToRun) {
        if let Ok(frame) = control::encode(message) {
            self.outbox.extend(frame);
        }
        self.flush();
    }

    /// Sends what has been put together.
    pub fn flush(&mut self) {
        let outbox = std::mem::take(&mut self.outbox);
        if let Some(stream) = &mut self.stream
            && !outbox.is_empty()
            && stream.write_all(&outbox).is_err()
        {
            gone();
        }
    }

    /// The next message; a probe is answered by whoever waits, so here (running) it is dropped.
    fn receive(&mut self) -> ToProcess {
        let Some(stream) = &mut self.stream else { gone() };
        match control::receive(stream, &mut self.decoder) {
            Ok(Some(message)) => message,
            Ok(None) | Err(_) => gone(),
        }
    }
}

struct Ready {
    run: bool,
    /// A signal (`None`) or the index of a descriptor.
    own: Option<Option<usize>>,
}

/// The run is gone: a helper has nothing to live for, and must not hold a port.
fn gone() -> ! {
    std::process::exit(125)
}
