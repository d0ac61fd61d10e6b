//! A listener on the private bus of a machine's systemd: says what its units change, and keeps its timers exact.
//!
//! systemd tells whoever is connected there of every change, unasked (org.freedesktop.systemd1(5)): nobody has to poll it,
//! which would change what is measured. Each change is a line of JSON on standard output, [`Changed`]; a first one without a
//! unit says that it listens.
//!
//! Its timers fire when it wakes, up to 250 ms after they have elapsed. A scaled clock would make that seconds of the
//! incident; so it is woken where the incident's grid of 250 ms lies, by a message that asks for nothing
//! (`org.freedesktop.DBus.Peer.Ping`).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::control::Changed;
use crate::sys::real_time;

/// `argv[0]` of the listener.
pub const BUS: &str = "relapse-bus";

/// When a main process was started and when it ended, in microseconds since 1970.
pub(crate) const MOMENTS: [&str; 2] = ["ExecMainStartTimestamp", "ExecMainExitTimestamp"];

const SOCKET: &str = "/run/systemd/private";

/// Greatest message of the bus (D-Bus Specification, "Message Format").
const MAX_MESSAGE: usize = 128 << 20;

/// `argv[1]`: microseconds of real time between two wake-ups, 0 for none; `argv[2]`: one moment of them, in
/// microseconds since 1970.
pub(super) fn main(args: &[String]) -> u8 {
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok()).unwrap_or(0);
    match listen(number(1), number(2)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{BUS}: {error}");
            1
        }
    }
}

fn listen(every: u64, phase: u64) -> io::Result<()> {
    let mut bus = connect()?;
    say(&Changed { at: real_time(), unit: String::new(), changed: BTreeMap::new() })?;
    let mut buffer = Vec::new();
    let mut serial = 0;
    loop {
        let wait = (every > 0).then(|| every - (real_time() + every - phase % every) % every);
        let timeout = wait.map(Duration::from_micros);
        if !readable(&bus, timeout)? {
            serial += 1;
            bus.write_all(&ping(serial))?;
            continue;
        }
        let mut chunk = [0; 65536];
        let count = bus.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        buffer.extend_from_slice(&chunk[..count]);
        let mut at = 0;
        while let Some(length) = length(&buffer[at..])? {
            let Some(message) = buffer.get(at..at + length) else { break };
            at += length;
            if let Some((unit, changed)) = changes(message) {
                say(&Changed { at: real_time(), unit, changed })?;
            }
        }
        buffer.drain(..at);
    }
}

fn say(changed: &Changed) -> io::Result<()> {
    let mut line = serde_json::to_vec(changed)?;
    line.push(b'\n');
    io::stdout().write_all(&line)
}

/// Waits for something to read, at most so long.
fn readable(bus: &UnixStream, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [PollFd::new(bus.as_fd(), PollFlags::POLLIN)];
    let Some(timeout) = timeout else {
        poll(&mut fds, PollTimeout::NONE)?;
        return Ok(true);
    };
    // poll(2) knows milliseconds; the rest is slept.
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    if poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX))? > 0 {
        return Ok(true);
    }
    std::thread::sleep(timeout - Duration::from_millis(timeout.as_millis().try_into().unwrap_or(0)));
    Ok(false)
}

/// Connects and says who we are (D-Bus Specification, "Authentication Protocol").
fn connect() -> io::Result<UnixStream> {
    let mut bus = UnixStream::connect(SOCKET)?;
    let user: String = nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    bus.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let mut byte = [0];
        bus.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    if !answer.starts_with(b"OK ") {
        return Err(io::Error::other(format!("refused by the bus: {}", String::from_utf8_lossy(&answer).trim())));
    }
    bus.write_all(b"BEGIN\r\n")?;
    Ok(bus)
}

/// A method call without an answer.
fn ping(serial: u32) -> Vec<u8> {
    let mut fields = Vec::new();
    let texts = [
        (1u8, b'o', "/org/freedesktop/systemd1"),
        (2, b's', "org.freedesktop.DBus.Peer"),
        (3, b's', "Ping"),
        (6, b's', "org.freedesktop.systemd1"),
    ];
    for (code, kind, text) in texts {
        pad(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        fields.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
        fields.extend(text.as_bytes());
        fields.push(0);
    }
    // Little endian, METHOD_CALL, NO_REPLY_EXPECTED, version 1; no body.
    let mut message = vec![b'l', 1, 1, 1];
    message.extend(0u32.to_le_bytes());
    message.extend(serial.to_le_bytes());
    message.extend(u32::try_from(fields.len()).unwrap_or(0).to_le_bytes());
    message.extend(fields);
    pad(&mut message, 8);
    message
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

/// The length of the message that begins here, once that is known.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = bytes.get(..16) else { return Ok(None) };
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let length = (16 + number(12)).next_multiple_of(8) + number(4);
    // systemd writes in the machine's own order, and every machine we run on has this one.
    if head[0] != b'l' || length > MAX_MESSAGE {
        return Err(io::Error::other("the bus speaks something else"));
    }
    Ok(Some(length))
}

/// Which properties of which unit a message says are new, as `systemctl show` writes them.
fn changes(message: &[u8]) -> Option<(String, BTreeMap<String, String>)> {
    let mut reader = Reader { bytes: message, at: 12 };
    let fields = reader.u32()? as usize;
    let end = reader.at + fields;
    let (mut path, mut member) = (String::new(), String::new());
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (1, "o") => path = reader.text()?,
            (3, "s") => member = reader.text()?,
            (_, signature) => {
                reader.value(signature)?;
            }
        }
    }
    reader.at = end.next_multiple_of(8);
    let unit = unescaped(path.strip_prefix("/org/freedesktop/systemd1/unit/")?);
    if member != "PropertiesChanged" {
        return None;
    }
    reader.text()?;
    let length = reader.u32()? as usize;
    reader.align(8);
    let end = reader.at + length;
    let mut changed = BTreeMap::new();
    while reader.at < end {
        reader.align(8);
        let name = reader.text()?;
        let signature = reader.signature()?;
        // Of the numbers of microseconds, most are when something was looked at.
        let matters = signature != "t" || MOMENTS.contains(&name.as_str());
        if let Some(value) = reader.value(&signature)?.filter(|_| matters) {
            changed.insert(name, value);
        }
    }
    Some((unit, changed))
}

/// The name that a label of a path stands for (sd_bus_path_encode(3)).
fn unescaped(label: &str) -> String {
    let mut out = Vec::new();
    let mut rest = label.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code.filter(|_| byte == b'_') {
            Some(code) => {
                out.push(code);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Reads values as they are marshalled (D-Bus Specification, "Marshaling").
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4).map(|n| u32::from_le_bytes([n[0], n[1], n[2], n[3]]))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Some(text)
    }

    /// Reads past a value of one complete type; its text, if it is a simple one that people compare.
    fn value(&mut self, signature: &str) -> Option<Option<String>> {
        let (first, rest) = signature.split_at_checked(1)?;
        Some(match first {
            "s" | "o" => Some(self.text()?),
            "g" => Some(self.signature()?),
            "b" => Some(if self.u32()? == 0 { "no" } else { "yes" }.to_owned()),
            "u" => Some(self.u32()?.to_string()),
            "i" => Some(self.u32()?.cast_signed().to_string()),
            "h" => self.u32().map(|_| None)?,
            "y" => self.byte().map(|_| None)?,
            "n" | "q" => {
                self.align(2);
                self.take(2).map(|_| None)?
            }
            "x" | "t" | "d" => {
                self.align(8);
                let bytes: [u8; 8] = self.take(8)?.try_into().ok()?;
                Some(u64::from_le_bytes(bytes).to_string()).filter(|_| first == "t")
            }
            "v" => {
                let inner = self.signature()?;
                self.value(&inner)?
            }
            "a" => {
                let length = self.u32()? as usize;
                let wide = matches!(rest.as_bytes().first(), Some(b'(' | b'{' | b'x' | b't' | b'd'));
                if wide {
                    self.align(8);
                }
                self.take(length).map(|_| None)?
            }
            // A structure: what it holds is of no interest, but it has to be read past.
            "(" => {
                self.align(8);
                for member in members(rest.strip_suffix(')')?) {
                    self.value(member)?;
                }
                None
            }
            _ => return None,
        })
    }
}

/// The complete types of a signature.
fn members(mut signature: &str) -> Vec<&str> {
    let mut members = Vec::new();
    while !signature.is_empty() {
        let mut depth = 0;
        let mut length = 0;
        for byte in signature.bytes() {
            length += 1;
            depth += match byte {
                b'(' | b'{' => 1,
                b')' | b'}' => -1,
                _ => 0,
            };
            if depth == 0 && byte != b'a' {
                break;
            }
        }
        members.push(&signature[..length]);
        signature = &signature[length..];
    }
    members
}
