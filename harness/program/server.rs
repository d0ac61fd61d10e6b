//! The stand-in server: behaves as uvicorn was seen to do under strace.
//!
//! Import, then the application's start-up hook, then bind, then serve. A refused bind comes *after* the hook; the
//! shutdown hook runs, and the process exits. All six lines go to standard error.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;
use std::process::Child;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::listener::{Listener, Place, Stream};
use crate::control::{Note, Notify, ServerRole, Sigterm};
use crate::program::link::{Link, Woke};
use crate::time::{IncidentTime, Span};

struct Server<'a> {
    link: &'a mut Link,
    role: ServerRole,
    place: Place,
    /// Signals that came while they could not be obeyed, and those that end it.
    taken: Vec<Signal>,
    started: IncidentTime,
    /// Who serves in its place.
    child: Option<Child>,
    /// Whether it is such a child itself.
    is_child: bool,
}

/// How far a server that was told to end has come.
#[derive(Clone, Copy)]
enum Ending {
    /// It will look at this moment.
    Noticed(IncidentTime),
    /// It has closed its port, and looks at this moment who is left.
    Closed(IncidentTime),
    /// It waits for the last answers, and looks again at this moment.
    Waiting(IncidentTime),
}

/// From the moment at which the port is closed to the next look: the real server sleeps as long.
const GRACE: Span = Span::from_millis(100);

pub(super) fn main(link: &mut Link, args: &[String], role: ServerRole) -> u8 {
    let place = match place(args, &role) {
        Ok(place) => place,
        Err(message) => {
            link.stderr(&message);
            return 2;
        }
    };
    let is_child = role.child && super::child::is_one();
    if is_child {
        super::child::take_name(args.first().map_or("", String::as_str));
    }
    let mut signals = vec![Signal::SIGTERM, Signal::SIGINT];
    // Of the end of a child.
    signals.extend((role.child && !is_child).then_some(Signal::SIGCHLD));
    if let Err(error) = link.take_signals(&signals) {
        link.stderr(&format!("cannot take signals: {error}"));
        return 1;
    }
    let started = link.now();
    let server = Server { link, role, place, taken: Vec::new(), started, child: None, is_child };
    if is_child { server.run_as_child() } else { server.run() }
}

/// `--host`, `--port` and `--fd` as uvicorn takes them.
fn place(args: &[String], role: &ServerRole) -> Result<Place, String> {
    let mut host = "127.0.0.1".to_owned();
    let mut port = 8000;
    let mut fd = role.fd;
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        let (key, inline) = match arg.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        if !matches!(key, "--host" | "--port" | "--fd") {
            continue;
        }
        let value = inline.or_else(|| rest.next().cloned());
        let value = value.ok_or_else(|| format!("Error: Option '{key}' requires an argument."))?;
        let invalid = |what: &str| format!("Error: Invalid value for '{key}': '{value}' is not a valid {what}.");
        match key {
            "--host" => host = value,
            "--port" => port = value.parse().map_err(|_| invalid("integer"))?,
            _ => fd = Some(value.parse().map_err(|_| invalid("integer"))?),
        }
    }
    let (shared, v6_only) = (role.reuse_port, role.v6_only);
    Ok(fd.map_or(Place::Port { host, port, shared, v6_only }, Place::Inherited))
}

impl Server<'_> {
    fn run(mut self) -> u8 {
        let mut listener = None;
        if self.role.bind_before_startup {
            match self.listen() {
                Ok(bound) => listener = Some(bound),
                Err(errno) => {
                    self.link.stderr(&format!("ERROR:    [Errno {}] {}", errno as i32, capital(errno.desc())));
                    return self.role.exit_on_bind_error;
                }
            }
        }
        // The import: busy, and before any line is written.
        self.pass_time(self.role.startup, self.role.startup_cpu);
        if self.role.sigterm == Sigterm::Default && !self.taken.is_empty() {
            self.link.stderr("\nAborted!");
            return 1;
        }
        let pid = self.link.pid();
        self.link.stderr(&format!("INFO:     Started server process [{pid}]"));
        self.link.stderr("INFO:     Waiting for application startup.");
        for line in self.role.on_start.clone() {
            self.log(&line);
        }
        self.link.stderr("INFO:     Application startup complete.");
        let listener = match listener.map_or_else(|| self.listen(), Ok) {
            Ok(listener) => listener,
            Err(errno) => {
                let Place::Port { host, port, .. } = &self.place else {
                    // Nothing of uvicorn's catches this one.
                    self.link.stderr(&format!("OSError: [Errno {}] {}", errno as i32, capital(errno.desc())));
                    return 1;
                };
                let address = match host.as_str() {
                    "localhost" => format!("('127.0.0.1', {port})"),
                    six if six.contains(':') => format!("('{six}', {port}, 0, 0)"),
                    four => format!("('{four}', {port})"),
                };
                self.link.stderr(&format!(
                    "ERROR:    [Errno {}] error while attempting to bind on address {address}: {}",
                    errno as i32,
                    errno.desc().to_lowercase()
                ));
                self.shut_down_hook();
                self.pass_time(self.role.teardown, 0);
                return self.role.exit_on_bind_error;
            }
        };
        self.link.stderr(&format!("INFO:     Uvicorn running on {} (Press CTRL+C to quit)", listener.shown));
        // A signal that came during the import: it did bind, and now it ends without a shutdown hook.
        if !self.taken.is_empty() {
            return self.end_by_signals();
        }
        if self.role.child {
            match super::child::start(self.link, &listener) {
                Ok(child) => self.child = Some(child),
                Err(error) => self.link.stderr(&format!("cannot start a child: {error}")),
            }
        }
        self.serve(listener)
    }

    /// What a child does: it serves, and says nothing of its own.
    fn run_as_child(mut self) -> u8 {
        match Listener::of_parent(&self.place, self.link.mapping()) {
            Ok(listener) => {
                self.note_listening(&listener, true);
                self.serve(listener)
            }
            Err(errno) => {
                self.link.stderr(&format!("cannot serve on the socket of the parent: {}", errno.desc()));
                1
            }
        }
    }

    fn note_listening(&mut self, listener: &Listener, shared: bool) {
        if let Some((address, port)) = listener.port.clone() {
            let (backlog, fd, dual) = (listener.backlog, listener.fd, listener.dual);
            self.link.note(Note::Listening { address, port, backlog, fd, dual, shared });
        }
    }

    /// What it says of itself; a child says nothing.
    fn say(&mut self, line: &str) {
        if !self.is_child {
            self.link.stderr(line);
        }
    }

    /// Lets incident time pass while starting or ending, with the reaction to SIGTERM that belongs there.
    fn pass_time(&mut self, span: Span, cpu: u8) {
        let until = self.link.now() + span;
        loop {
            match self.link.wait(Some(until), cpu, false, &[]) {
                Woke::Deadline => return,
                Woke::Signal(Signal::SIGCHLD) => {}
                Woke::Signal(signal) => {
                    let handlers = self.link.now() >= self.started + self.role.handlers_after;
                    match self.role.sigterm {
                        Sigterm::Ignore if handlers => {}
                        Sigterm::Defer if handlers => self.taken.push(signal),
                        // Python has an exception for this one, and the program says that it was aborted.
                        Sigterm::Default if handlers && signal == Signal::SIGINT => {
                            self.taken.push(signal);
                            return;
                        }
                        _ => self.link.die_by(signal),
                    }
                }
                Woke::Readable(_) => {}
            }
        }
    }

    /// Dies of the signals that it was sent; those from the keyboard alone are an exit like any other.
    fn end_by_signals(&mut self) -> u8 {
        if let Some(signal) = self.taken.iter().find(|signal| **signal != Signal::SIGINT) {
            self.link.die_by(*signal);
        }
        self.pass_time(self.role.teardown, 0);
        0
    }

    fn shut_down_hook(&mut self) {
        self.link.stderr("INFO:     Waiting for application shutdown.");
        for line in self.role.on_shutdown.clone() {
            self.log(&line);
        }
        self.link.stderr("INFO:     Application shutdown complete.");
    }

    /// Appends a line to the application's log, with the incident time.
    fn log(&mut self, text: &str) {
        let Some(path) = self.role.log_file.clone() else { return };
        let line = format!("{} | {text}", self.link.now().strftime("%Y-%m-%d %H:%M:%S"));
        let file = self.link.mapping().host_path(&path);
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        match written {
            Ok(()) => self.link.note(Note::Log { path, line }),
            Err(error) => self.link.stderr(&format!("cannot write {path}: {error}")),
        }
    }

    fn listen(&mut self) -> Result<Listener, Errno> {
        match Listener::open(&self.place, self.link.mapping()) {
            Ok(listener) => {
                self.note_listening(&listener, false);
                Ok(listener)
            }
            Err(errno) => {
                if let Place::Port { host, port, .. } = &self.place {
                    let (address, port, errno) = (host.clone(), *port, format!("{errno:?}"));
                    self.link.note(Note::Refused { address, port, errno });
                }
                Err(errno)
            }
        }
    }

    fn serve(&mut self, listener: Listener) -> u8 {
        if let Err(error) = listener.set_nonblocking() {
            self.link.stderr(&format!("cannot serve: {error}"));
            return 1;
        }
        let since = self.link.now();
        if !self.is_child {
            self.tell_manager("READY=1");
        }
        let every = self.watchdog().filter(|_| !self.is_child);
        let mut sign_of_life = every.map(|every| since + every);
        let mut listener = Some(listener);
        let mut connections: Vec<Connection> = Vec::new();
        let mut ending = None;
        let mut forced = false;
        let mut served = 0u16;
        loop {
            let now = self.link.now();
            self.answer_due(&mut connections, now);
            match ending {
                Some(Ending::Noticed(at)) if now >= at => {
                    if !self.is_child {
                        self.tell_manager("STOPPING=1");
                    }
                    self.say("INFO:     Shutting down");
                    if let Some((address, port)) = listener.take().and_then(|listener| listener.port) {
                        self.link.note(Note::Closed { address, port });
                    }
                    // Whoever has not asked yet is not waited for.
                    for silent in connections.extract_if(.., |connection| connection.answer.is_none()) {
                        self.link.sends(silent.stream.ends());
                    }
                    ending = Some(Ending::Closed(now + GRACE));
                }
                Some(Ending::Closed(at) | Ending::Waiting(at)) if now >= at && (connections.is_empty() || forced) => {
                    if !forced && !self.is_child {
                        self.shut_down_hook();
                    }
                    let pid = self.link.pid();
                    self.say(&format!("INFO:     Finished server process [{pid}]"));
                    return self.end_by_signals();
                }
                Some(Ending::Closed(at) | Ending::Waiting(at)) if now >= at => {
                    if matches!(ending, Some(Ending::Closed(_))) {
                        self.say("INFO:     Waiting for connections to close. (CTRL+C to force quit)");
                    }
                    ending = Some(Ending::Waiting(now + GRACE));
                }
                _ => {}
            }
            if let (Some(at), Some(every)) = (sign_of_life, every)
                && now >= at
            {
                self.tell_manager("WATCHDOG=1");
                sign_of_life = Some(at + every);
            }
            let looks = ending.map(|(Ending::Noticed(at) | Ending::Closed(at) | Ending::Waiting(at))| at);
            let answers = connections.iter().filter_map(|connection| Some(connection.answer.as_ref()?.due)).min();
            let deadline = [looks, sign_of_life, answers].into_iter().flatten().min();
            // Who has asked and waits for the answer has nothing more to say.
            let silent: Vec<usize> =
                (0..connections.len()).filter(|index| connections[*index].answer.is_none()).collect();
            // Of two who look at one socket, one would come too late.
            let accepts = listener.as_ref().filter(|_| self.child.is_none());
            let fds: Vec<BorrowedFd<'_>> = accepts
                .into_iter()
                .map(Listener::as_fd)
                .chain(silent.iter().map(|index| connections[*index].stream.as_fd()))
                .collect();
            match self.link.wait(deadline, 0, !silent.is_empty(), &fds) {
                Woke::Deadline => {}
                Woke::Signal(Signal::SIGCHLD) => {
                    // Without its child it serves itself.
                    let ended = self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
                    if ended {
                        self.child = None;
                    }
                }
                Woke::Signal(_) if self.role.sigterm == Sigterm::Ignore => {}
                Woke::Signal(signal) => {
                    forced |= ending.is_some() && signal == Signal::SIGINT;
                    self.taken.push(signal);
                    // It looks now and then since it began to serve, not at once.
                    let (now, tick) = (self.link.now(), self.role.notice);
                    let at = now.ceil_to_grid(since, tick, Span::ZERO);
                    let at = if at == now { at + tick } else { at };
                    ending.get_or_insert(Ending::Noticed(at));
                }
                Woke::Readable(0) if accepts.is_some() => {
                    if let Some(listener) = accepts {
                        while let Ok(stream) = listener.accept() {
                            connections.push(Connection { stream, request: Vec::new(), answer: None });
                        }
                    }
                }
                Woke::Readable(index) => {
                    let index = silent[index - usize::from(accepts.is_some())];
                    if self.converse(&mut connections[index], &mut served) {
                        self.link.sends(connections.remove(index).stream.ends());
                    }
                }
            }
        }
    }

    /// Sends the answers whose time has come, and closes their connections.
    fn answer_due(&mut self, connections: &mut Vec<Connection>, now: IncidentTime) {
        for connection in connections.iter_mut() {
            if let Some(answer) = connection.answer.as_ref().filter(|answer| answer.due <= now) {
                self.link.sends(connection.stream.ends());
                let _ = connection.stream.write_all(answer.text.as_bytes());
                if !self.is_child {
                    self.link.stdout(answer.line.as_bytes());
                }
            }
        }
        connections.retain(|connection| connection.answer.as_ref().is_none_or(|answer| answer.due > now));
    }

    /// Tells the manager something, if this program does that and the manager wants to hear it (sd_notify(3)).
    fn tell_manager(&mut self, text: &str) {
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|_| self.role.notify != Notify::Nothing) else {
            return;
        };
        // What was noted before has happened before.
        self.link.flush();
        if let Err(error) = UnixDatagram::unbound().and_then(|sender| sender.send_to(text.as_bytes(), socket)) {
            self.link.stderr(&format!("cannot notify the service manager: {error}"));
        }
    }

    /// How often the manager is to be told that all is well: twice within the time that its watchdog waits
    /// (sd_watchdog_enabled(3)).
    fn watchdog(&self) -> Option<Span> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let mine = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(self.link.pid()));
        let half = number("WATCHDOG_USEC").filter(|_| mine && self.role.notify == Notify::Ready)? / 2;
        (half > 0).then(|| Span::from_micros(half))
    }

    /// Reads what has come and has a whole request answered when it is time; true when the connection is done with.
    fn converse(&mut self, connection: &mut Connection, served: &mut u16) -> bool {
        let mut chunk = [0u8; 4096];
        match connection.stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => connection.request.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
        let (method, path, version) = match request_line(&connection.request) {
            Request::Partial => return false,
            Request::Bad => {
                const WHY: &str = "Invalid HTTP request received.";
                self.link.stderr(&format!("WARNING:  {WHY}"));
                let answer = format!(
                    "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n{WHY}"
                );
                let _ = connection.stream.write_all(answer.as_bytes());
                return true;
            }
            Request::Whole { method, path, version } => (method, path, version),
        };
        let page = path.split('?').next().unwrap_or_default();
        let takes = match page {
            "/health" => Some(self.role.answer),
            other => self.role.answers.iter().find(|(known, _)| known == other).map(|(_, takes)| *takes),
        };
        let known = takes.is_some();
        let (status, body, allow) = match (known, method.as_str()) {
            (false, _) => ("404 Not Found", "{\"detail\":\"Not Found\"}", ""),
            (true, "GET") => ("200 OK", "{\"status\":\"ok\"}", ""),
            (true, _) => ("405 Method Not Allowed", "{\"detail\":\"Method Not Allowed\"}", "allow: GET\r\n"),
        };
        let pid = self.link.pid();
        let length = body.len();
        let body = if method == "HEAD" { "" } else { body };
        let text = format!(
            "HTTP/1.1 {status}\r\nserver: uvicorn\r\nx-process-id: {pid}\r\n{allow}content-length: {length}\r\n\
             content-type: application/json\r\nconnection: close\r\n\r\n{body}"
        );
        let client = match connection.stream {
            // The client's own port is the host's; the incident numbers its clients in order.
            Stream::Tcp(..) => {
                let port = 45_000 + 2 * (*served % 10_000);
                *served = served.wrapping_add(1);
                format!("127.0.0.1:{port}")
            }
            Stream::Unix(_) => String::new(),
        };
        let line = format!("INFO:     {client} - \"{method} {path} HTTP/1.{version}\" {status}\n");
        connection.answer = Some(Reply { due: self.link.now() + takes.unwrap_or(Span::ZERO), text, line });
        false
    }
}

struct Connection {
    stream: Stream,
    request: Vec<u8>,
    /// What it will be told.
    answer: Option<Reply>,
}

/// An answer, and the line that is printed with it.
struct Reply {
    due: IncidentTime,
    text: String,
    line: String,
}

enum Request {
    Partial,
    Bad,
    Whole { method: String, path: String, version: u8 },
}

fn request_line(bytes: &[u8]) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => Request::Whole {
            method: request.method.unwrap_or("GET").to_owned(),
            path: request.path.unwrap_or("/").to_owned(),
            version: request.version.unwrap_or(1),
        },
        Ok(httparse::Status::Partial) if bytes.len() < 65_536 => Request::Partial,
        _ => Request::Bad,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect())
}
