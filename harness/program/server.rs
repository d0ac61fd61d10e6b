//! The stand-in server: behaves as uvicorn was seen to do under strace.
//!
//! Import, then the application's start-up hook, then bind, then serve. A refused bind comes *after* the hook; the
//! shutdown hook runs, and the process exits. All six lines go to standard error.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixDatagram;

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
    /// SIGTERM came while it could not be obeyed.
    deferred: Option<Signal>,
    started: IncidentTime,
}

pub(super) fn main(link: &mut Link, args: &[String], role: ServerRole) -> u8 {
    let place = match place(args, &role) {
        Ok(place) => place,
        Err(message) => {
            link.stderr(&message);
            return 2;
        }
    };
    if let Err(error) = link.take_signals(&[Signal::SIGTERM, Signal::SIGINT]) {
        link.stderr(&format!("cannot take signals: {error}"));
        return 1;
    }
    let started = link.now();
    Server { link, role, place, deferred: None, started }.run()
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
            "--port" => port = value.parse().map_err(|_| invalid("integer range"))?,
            _ => fd = Some(value.parse().map_err(|_| invalid("integer"))?),
        }
    }
    Ok(fd.map_or(Place::Port { host, port }, Place::Inherited))
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
                let Place::Port { host, port } = &self.place else {
                    // Nothing of uvicorn's catches this one.
                    self.link.stderr(&format!("OSError: [Errno {}] {}", errno as i32, capital(errno.desc())));
                    return 1;
                };
                self.link.stderr(&format!(
                    "ERROR:    [Errno {}] error while attempting to bind on address ('{host}', {port}): {}",
                    errno as i32,
                    errno.desc().to_lowercase()
                ));
                self.shut_down_hook();
                self.pass_time(self.role.teardown, 0);
                return self.role.exit_on_bind_error;
            }
        };
        self.link.stderr(&format!("INFO:     Uvicorn running on {} (Press CTRL+C to quit)", listener.shown));
        // A signal that came during the import: it did bind, and now it dies without a shutdown hook.
        if let Some(signal) = self.deferred {
            self.link.die_by(signal);
        }
        self.serve(listener)
    }

    /// Lets incident time pass while starting or ending, with the reaction to SIGTERM that belongs there.
    fn pass_time(&mut self, span: Span, cpu: u8) {
        let until = self.link.now() + span;
        loop {
            match self.link.wait(Some(until), cpu, false, &[]) {
                Woke::Deadline => return,
                Woke::Signal(signal) => {
                    let handlers = self.link.now() >= self.started + self.role.handlers_after;
                    match self.role.sigterm {
                        Sigterm::Ignore if handlers => {}
                        Sigterm::Defer if handlers => self.deferred = Some(signal),
                        _ => self.link.die_by(signal),
                    }
                }
                Woke::Readable(_) => {}
            }
        }
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
                if let Some((address, port)) = listener.port.clone() {
                    let (backlog, fd) = (listener.backlog, listener.fd);
                    self.link.note(Note::Listening { address, port, backlog, fd });
                }
                Ok(listener)
            }
            Err(errno) => {
                if let Place::Port { host, port } = &self.place {
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
        self.tell_manager("READY=1");
        let every = self.watchdog();
        let mut sign_of_life = every.map(|every| since + every);
        let mut listener = Some(listener);
        let mut connections: Vec<Connection> = Vec::new();
        let mut stop: Option<(Signal, IncidentTime)> = None;
        let mut served = 0u16;
        loop {
            if let Some((signal, at)) = stop
                && self.link.now() >= at
            {
                if let Some(listener) = listener.take() {
                    self.tell_manager("STOPPING=1");
                    self.link.stderr("INFO:     Shutting down");
                    if let Some((address, port)) = listener.port {
                        self.link.note(Note::Closed { address, port });
                    }
                }
                if connections.is_empty() {
                    self.shut_down_hook();
                    let pid = self.link.pid();
                    self.link.stderr(&format!("INFO:     Finished server process [{pid}]"));
                    self.link.die_by(signal);
                }
            }
            if let (Some(at), Some(every)) = (sign_of_life, every)
                && self.link.now() >= at
            {
                self.tell_manager("WATCHDOG=1");
                sign_of_life = Some(at + every);
            }
            let stops = stop.filter(|_| listener.is_some()).map(|(_, at)| at);
            let deadline = [stops, sign_of_life].into_iter().flatten().min();
            let fds: Vec<BorrowedFd<'_>> = listener
                .iter()
                .map(Listener::as_fd)
                .chain(connections.iter().map(|connection| connection.stream.as_fd()))
                .collect();
            match self.link.wait(deadline, 0, !connections.is_empty(), &fds) {
                Woke::Deadline => {}
                Woke::Signal(_) if self.role.sigterm == Sigterm::Ignore => {}
                Woke::Signal(signal) => {
                    // It looks now and then since it began to serve, not at once.
                    let (now, tick) = (self.link.now(), self.role.notice);
                    let at = now.ceil_to_grid(since, tick, Span::ZERO);
                    let at = if at == now { at + tick } else { at };
                    stop.get_or_insert((signal, at));
                }
                Woke::Readable(0) if listener.is_some() => {
                    if let Some(listener) = &listener {
                        while let Ok(stream) = listener.accept() {
                            connections.push(Connection { stream, request: Vec::new() });
                        }
                    }
                }
                Woke::Readable(index) => {
                    let index = index - usize::from(listener.is_some());
                    if self.converse(&mut connections[index], &mut served) {
                        connections.remove(index);
                    }
                }
            }
        }
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

    /// Reads what has come and answers a whole request; true when the connection is done with.
    fn converse(&mut self, connection: &mut Connection, served: &mut u16) -> bool {
        let mut chunk = [0u8; 4096];
        match connection.stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => connection.request.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
        let (method, path, status) = match request_line(&connection.request) {
            Request::Partial => return false,
            Request::Bad => (String::new(), String::new(), "400 Bad Request"),
            Request::Whole { method, path } => {
                let known = path.split('?').next() == Some("/health");
                (method, path, if known { "200 OK" } else { "404 Not Found" })
            }
        };
        let pid = self.link.pid();
        let body = if status.starts_with("200") { "{\"status\":\"ok\"}" } else { "{\"detail\":\"Not Found\"}" };
        let answer = format!(
            "HTTP/1.1 {status}\r\nserver: uvicorn\r\nx-process-id: {pid}\r\ncontent-length: {}\r\n\
             content-type: application/json\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = connection.stream.write_all(answer.as_bytes());
        let client = match connection.stream {
            // The client's own port is the host's; the incident numbers its clients in order.
            Stream::Tcp(_) => {
                let port = 45_000 + 2 * (*served % 10_000);
                *served = served.wrapping_add(1);
                format!("127.0.0.1:{port}")
            }
            Stream::Unix(_) => String::new(),
        };
        let line = format!("INFO:     {client} - \"{method} {path} HTTP/1.1\" {status}\n");
        self.link.stdout(line.as_bytes());
        true
    }
}

struct Connection {
    stream: Stream,
    request: Vec<u8>,
}

enum Request {
    Partial,
    Bad,
    Whole { method: String, path: String },
}

fn request_line(bytes: &[u8]) -> Request {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => Request::Whole {
            method: request.method.unwrap_or("GET").to_owned(),
            path: request.path.unwrap_or("/").to_owned(),
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
