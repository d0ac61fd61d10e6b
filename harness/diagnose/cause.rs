//! The variants of the library, and their pages.

use std::fmt;

/// A page of the library, by its path from `scenarios/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Page(pub &'static str);

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scenarios/{}", self.0)
    }
}

/// Why a unit is restarted for ever, or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A process that somebody started by hand has the port.
    ManualProcess,
    /// Another unit of the same manager has it.
    OtherUnit,
    /// A unit of another manager has it: a user's, or the system's.
    UserUnit,
    /// A container has it.
    Container,
    /// A process of the unit itself, from a run before, has it.
    LeftOverChild,
    /// The unit's own socket unit has it, and the program binds it itself.
    OwnSocket,
    /// A socket unit of another service has it.
    OtherSocket,
    /// Somebody has it whom we may not see.
    UnseenHolder,
    /// The port is free; a file says otherwise.
    StalePidFile,
    /// The port was taken, and is free now.
    PortIsFreeNow,
    /// The program ends with success, and is restarted all the same.
    CleanExit,
    /// The unit's main process lives on and restarts the server itself.
    LoopInsideTheUnit,
    /// The start limit has ended it.
    StartLimit,
    /// A socket unit could not have its port.
    SocketRefused,
    /// Two servers share the port on one address.
    SharedPort,
    /// One server has the port on IPv4, another on IPv6.
    TwoFamilies,
    /// Two servers have the port on two addresses.
    TwoAddresses,
    /// It is not the port.
    NotThePort,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 18] = [
        Cause::ManualProcess,
        Cause::OtherUnit,
        Cause::UserUnit,
        Cause::Container,
        Cause::LeftOverChild,
        Cause::OwnSocket,
        Cause::OtherSocket,
        Cause::UnseenHolder,
        Cause::StalePidFile,
        Cause::PortIsFreeNow,
        Cause::CleanExit,
        Cause::LoopInsideTheUnit,
        Cause::StartLimit,
        Cause::SocketRefused,
        Cause::SharedPort,
        Cause::TwoFamilies,
        Cause::TwoAddresses,
        Cause::NotThePort,
    ];

    /// As machines read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::ManualProcess => "manual-process",
            Cause::OtherUnit => "other-unit",
            Cause::UserUnit => "user-unit",
            Cause::Container => "container",
            Cause::LeftOverChild => "left-over-child",
            Cause::OwnSocket => "own-socket",
            Cause::OtherSocket => "other-socket",
            Cause::UnseenHolder => "unseen-holder",
            Cause::StalePidFile => "stale-pid-file",
            Cause::PortIsFreeNow => "port-is-free-now",
            Cause::CleanExit => "clean-exit",
            Cause::LoopInsideTheUnit => "loop-inside-the-unit",
            Cause::StartLimit => "start-limit",
            Cause::SocketRefused => "socket-refused",
            Cause::SharedPort => "shared-port",
            Cause::TwoFamilies => "two-families",
            Cause::TwoAddresses => "two-addresses",
            Cause::NotThePort => "not-the-port",
        }
    }

    /// The page that replays it; `None` where there is none.
    pub const fn page(self) -> Option<Page> {
        Some(Page(match self {
            Cause::ManualProcess | Cause::UnseenHolder => "the-loop.md",
            Cause::OtherUnit => "variants/two-units-for-one-port.md",
            Cause::UserUnit => "variants/a-user-unit-and-a-system-unit.md",
            Cause::LeftOverChild => "variants/a-child-that-is-left-over.md",
            Cause::OwnSocket => "checks/one-process-on-the-port-under-a-socket-unit.md",
            Cause::StalePidFile => "variants/a-stale-pid-file.md",
            Cause::PortIsFreeNow => "traps/a-slow-close-that-heals-itself.md",
            Cause::CleanExit => "variants/a-duplicate-that-exits-with-0.md",
            Cause::LoopInsideTheUnit => "variants/a-loop-inside-the-unit.md",
            Cause::StartLimit => "traps/no-start-limit-hit-in-the-result.md",
            Cause::SocketRefused => "traps/a-socket-unit-while-the-port-is-taken.md",
            Cause::SharedPort => "traps/two-servers-that-share-the-port.md",
            Cause::TwoFamilies => "traps/one-server-on-ipv6-one-on-ipv4.md",
            Cause::TwoAddresses => "traps/two-servers-on-two-loopback-addresses.md",
            Cause::Container | Cause::OtherSocket | Cause::NotThePort => return None,
        }))
    }
}
