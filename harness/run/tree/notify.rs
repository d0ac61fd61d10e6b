//! Notifications of services (sd_notify(3)), collected while anybody runs and served one at a time once nobody does.
//!
//! They are read before any end is taken in, and served before any end is handed out, as the manager's own event loop
//! has it: whoever says something and ends at once is still known. Senders take turns in the order of everything else
//! here; what one sender says stays in its order.

use std::collections::{HashMap, VecDeque};

use super::{PROVISIONAL, Pending, ProcessId, Tree};
use crate::run::Fault;
use crate::sys::notify::{Datagram, Descriptor, NotifySocket};
use crate::sys::process::Look;

/// So much is read before something is served; whoever sends more meanwhile has to wait.
const MOST: usize = 1 << 14;

/// The notification socket and what has been read from it.
#[derive(Debug)]
pub(super) struct Notices {
    socket: NotifySocket,
    /// As they came.
    waiting: Vec<Notice>,
    /// As they are served.
    queue: VecDeque<Notice>,
    /// Descriptors that somebody waits to see closed: everything sent before has been served then.
    barriers: Vec<Barrier>,
}

/// A message that has been read.
#[derive(Debug)]
pub(in crate::run) struct Notice {
    /// Host PID of the sender.
    pub(in crate::run) host: i32,
    /// What it says, or what the manager says of one that it drops.
    pub(in crate::run) text: Result<Vec<u8>, &'static str>,
    /// What came with it.
    pub(in crate::run) descriptors: Vec<Descriptor>,
}

/// A text and what came with it.
type Said = (Vec<u8>, Vec<Descriptor>);

#[derive(Debug)]
struct Barrier {
    /// What it is, by which its other end is recognised.
    target: Option<String>,
    /// Closed when it is dropped.
    _descriptor: Descriptor,
}

/// What a message is that is dropped unread, in the manager's words.
const NO_SENDER: &str = "Received notify message without valid credentials. Ignoring.";
const TOO_LONG: &str = "Received notify message exceeded maximum size. Ignoring.";
const EMBEDDED_NUL: &str = "Received notify message with embedded NUL bytes. Ignoring.";
const BARRIER_ALONE: &str = "Extra notification messages sent with BARRIER=1, ignoring everything.";
const BARRIER_DESCRIPTORS: &str = "Got incorrect number of fds with BARRIER=1, closing them.";

impl Notices {
    pub(super) fn new(socket: NotifySocket) -> Notices {
        Notices { socket, waiting: Vec::new(), queue: VecDeque::new(), barriers: Vec::new() }
    }

    pub(super) fn socket(&self) -> &NotifySocket {
        &self.socket
    }

    /// Whether all that the process does is wait for a barrier: it holds the other end.
    pub(super) fn holds(&self, look: &Look) -> bool {
        if self.barriers.is_empty() || look.state != 'S' {
            return false;
        }
        let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", look.pid)) else { return false };
        let mut targets = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| {
            self.barriers
                .iter()
                .any(|barrier| barrier.target.as_deref().is_some_and(|known| target.as_os_str() == known))
        })
    }

    /// Takes in a datagram.
    fn take_in(&mut self, datagram: Datagram) {
        let host = datagram.pid;
        let (text, descriptors) = match self.read(datagram) {
            Ok(None) => return,
            Ok(Some((text, descriptors))) => (Ok(text), descriptors),
            Err(complaint) => (Err(complaint), Vec::new()),
        };
        self.waiting.push(Notice { host, text, descriptors });
    }

    /// The message of a datagram and what came with it; `None` if it is only a barrier.
    fn read(&mut self, datagram: Datagram) -> Result<Option<Said>, &'static str> {
        let Datagram { pid, bytes, mut descriptors } = datagram;
        if pid <= 0 {
            return Err(NO_SENDER);
        }
        let mut text = bytes.ok_or(TOO_LONG)?;
        // One at the end is allowed.
        text.pop_if(|last| *last == 0);
        if text.contains(&0) {
            return Err(EMBEDDED_NUL);
        }
        if !is_barrier(&text)? {
            return Ok(Some((text, descriptors)));
        }
        let only = descriptors.len() == 1;
        let descriptor = descriptors.pop().filter(|_| only).ok_or(BARRIER_DESCRIPTORS)?;
        self.barriers.push(Barrier { target: descriptor.target(), _descriptor: descriptor });
        Ok(None)
    }
}

/// Whether the message is a barrier, which has to be alone.
fn is_barrier(text: &[u8]) -> Result<bool, &'static str> {
    let lines = || text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    match (lines().any(|line| line == b"BARRIER=1"), lines().count()) {
        (true, 1) => Ok(true),
        (true, _) => Err(BARRIER_ALONE),
        (false, _) => Ok(false),
    }
}

/// What is wrong with a message that came without descriptors.
pub(in crate::run) fn complaint(text: &[u8]) -> Option<&'static str> {
    match is_barrier(text) {
        Ok(false) => None,
        Ok(true) => Some(BARRIER_DESCRIPTORS),
        Err(complaint) => Some(complaint),
    }
}

impl Tree {
    /// Reads what has been sent. True if there was anything.
    pub(super) fn take_notices(&mut self) -> Result<bool, Fault> {
        let mut any = false;
        while self.notices.waiting.len() < MOST
            && let Some(datagram) = self.notices.socket.receive()?
        {
            self.notices.take_in(datagram);
            any = true;
        }
        Ok(any)
    }

    /// The next notification to serve; once there is none left, whoever waited for that goes on.
    pub(super) fn pending_notice(&mut self) -> Option<Pending> {
        if self.notices.queue.is_empty() && !self.notices.waiting.is_empty() {
            let mut waiting = std::mem::take(&mut self.notices.waiting);
            let mut turns = HashMap::new();
            for notice in &waiting {
                turns.entry(notice.host).or_insert_with(|| self.turn(notice.host));
            }
            // Who is gone has no place among the others: all that it said decides.
            let mut words: HashMap<i32, Vec<u8>> = HashMap::new();
            for notice in waiting.iter().filter(|notice| turns[&notice.host].is_none()) {
                let said = words.entry(notice.host).or_default();
                said.extend_from_slice(notice.text.as_deref().unwrap_or_default());
                said.push(0);
            }
            let mut gone: Vec<(Vec<u8>, i32)> = words.into_iter().map(|(host, said)| (said, host)).collect();
            gone.sort_unstable();
            let places: HashMap<i32, usize> = gone.into_iter().enumerate().map(|(at, (_, host))| (host, at)).collect();
            waiting.sort_by_cached_key(|notice| match &turns[&notice.host] {
                Some(turn) => (false, turn.clone(), 0),
                None => (true, (Vec::new(), 0), places.get(&notice.host).copied().unwrap_or_default()),
            });
            self.notices.queue = waiting.into();
        }
        if let Some(notice) = self.notices.queue.pop_front() {
            return Some(Pending::Notified(notice));
        }
        let barriers = std::mem::take(&mut self.notices.barriers);
        (!barriers.is_empty()).then_some(Pending::Nothing)
    }

    /// When it is the turn of a sender.
    fn turn(&mut self, host: i32) -> Option<(Vec<u64>, ProcessId)> {
        let id = self.sender(host)?;
        let process = self.processes.get(&id)?;
        Some(if id < PROVISIONAL { (Vec::new(), id) } else { (self.age(process), id) })
    }

    /// Who has sent it. A process that was started here is known until its end has been handed out; any other one only
    /// while it lives, because whether anybody has seen it before is a matter of luck.
    pub(in crate::run) fn sender(&mut self, host: i32) -> Option<ProcessId> {
        if let Some(id) = self.by_host.get(&host) {
            return Some(*id);
        }
        let started = |id: &ProcessId| self.started.contains_key(id);
        let ended = self.processes.values().find(|process| process.host == host && started(&process.id));
        match ended {
            Some(process) => Some(process.id),
            None => self.discover(host),
        }
    }
}
