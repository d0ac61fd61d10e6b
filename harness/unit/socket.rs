//! What a socket unit listens on, and how.

use crate::time::Span;

/// `[Socket]` (systemd.socket(5)), as far as services on ports need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Socket {
    /// What is listened on, in order.
    pub listen: Vec<Listen>,
    pub accept: bool,
    pub service: Option<String>,
    pub file_descriptor_name: Option<String>,
    pub reuse_port: bool,
    pub bind_ipv6_only: Option<bool>,
    pub backlog: Option<u32>,
    pub trigger_limit_interval_sec: Option<Span>,
    pub trigger_limit_burst: Option<u32>,
    pub timeout_sec: Option<Span>,
    pub remove_on_stop: bool,
    pub max_connections: Option<u32>,
    pub max_connections_per_source: u32,
    pub symlinks: Vec<String>,
    pub socket_mode: Option<u32>,
    pub directory_mode: Option<u32>,
    pub flush_pending: bool,
    pub keep_alive: bool,
    pub no_delay: bool,
    pub poll_limit_interval_sec: Option<Span>,
    pub poll_limit_burst: Option<u32>,
}

/// A `Listen…=` line (systemd.socket(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Which line.
    pub kind: ListenKind,
    /// The value as systemd normalises it (`0.0.0.0:8000`, `[::]:8000`, `/run/x`, `@name`).
    pub address: String,
}

impl Listen {
    /// The path that it makes in the file system, if it does.
    pub fn node(&self) -> Option<&str> {
        let makes = match self.kind {
            ListenKind::Stream | ListenKind::Datagram | ListenKind::SequentialPacket => self.address.starts_with('/'),
            ListenKind::Fifo => true,
            ListenKind::Netlink | ListenKind::Special | ListenKind::MessageQueue | ListenKind::UsbFunction => false,
        };
        makes.then_some(self.address.as_str())
    }
}

/// Kinds of things to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the key of the same name, without `Listen`")]
pub enum ListenKind {
    Stream,
    Datagram,
    SequentialPacket,
    Fifo,
    Netlink,
    Special,
    MessageQueue,
    UsbFunction,
}

impl ListenKind {
    const ALL: [ListenKind; 8] = [
        ListenKind::Stream,
        ListenKind::Datagram,
        ListenKind::SequentialPacket,
        ListenKind::Fifo,
        ListenKind::Netlink,
        ListenKind::Special,
        ListenKind::MessageQueue,
        ListenKind::UsbFunction,
    ];

    /// The key without `Listen`, as in the property `Listen`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ListenKind::Stream => "Stream",
            ListenKind::Datagram => "Datagram",
            ListenKind::SequentialPacket => "SequentialPacket",
            ListenKind::Fifo => "FIFO",
            ListenKind::Netlink => "Netlink",
            ListenKind::Special => "Special",
            ListenKind::MessageQueue => "MessageQueue",
            ListenKind::UsbFunction => "USBFunction",
        }
    }

    /// The kind that a key means.
    pub fn from_key(key: &str) -> Option<ListenKind> {
        let word = key.strip_prefix("Listen")?;
        ListenKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether connections come in, which can be accepted.
    pub const fn accepts(self) -> bool {
        matches!(self, ListenKind::Stream | ListenKind::SequentialPacket)
    }
}
