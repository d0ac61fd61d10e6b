//! Programs as the model knows them: what they do in which order, and what signals do to them.

use std::collections::BTreeMap;

use crate::manager::{ExecFailure, Exit};
use crate::time::Span;

/// One thing that a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Does nothing for a while.
    Sleep(Span),
    /// Works for a while: as `Sleep`, but it costs CPU time.
    Work(Span),
    /// Ends.
    End(Exit),
    /// Takes a port; ends this way if it is taken.
    Bind {
        /// Which port.
        port: u16,
        /// How it ends if it cannot have it.
        or: Exit,
    },
    /// Takes all connections that wait on the sockets it was given.
    Accept,
    /// Starts a child and goes on.
    Fork(Box<Program>),
    /// Sends itself a signal.
    Raise(i32),
    /// Waits for the child that it forked last.
    Wait,
    /// Writes a file.
    Write {
        /// Where.
        path: String,
        /// What.
        content: Vec<u8>,
    },
    /// Writes its own PID, or that of the child that it forked last, into a file.
    WritePid {
        /// Where.
        path: String,
        /// The child's PID and not its own.
        child: bool,
    },
    /// Tells the manager something (sd_notify(3)).
    Notify(String),
    /// Becomes another program (execve(2)): its handlers are gone, what it ignores it still ignores.
    Exec(Box<Program>),
    /// Goes on at the act with this index.
    Again(usize),
    /// Stays until a signal ends it.
    Serve,
}

/// What a signal does to a process, other than its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Ignore,
    /// It stops what it is at and does this instead.
    Do(Vec<Act>),
}

/// A program: its acts from the first one on, and its signal handlers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The kernel's name of the process.
    pub comm: String,
    /// What it does. At the end of the list it exits with 0.
    pub acts: Vec<Act>,
    /// By signal number.
    pub reactions: BTreeMap<i32, Reaction>,
}

impl Program {
    /// A program that does these things.
    pub fn new(comm: &str, acts: Vec<Act>) -> Self {
        Self { comm: comm.to_owned(), acts, reactions: BTreeMap::new() }
    }

    /// A program that ends this way after some time.
    pub fn ends(comm: &str, after: Span, exit: Exit) -> Self {
        Self::new(comm, vec![Act::Sleep(after), Act::End(exit)])
    }

    /// A server: it starts up, binds the port or ends this way, and serves.
    pub fn server(comm: &str, starts_in: Span, port: u16, or: Exit) -> Self {
        Self::new(comm, vec![Act::Sleep(starts_in), Act::Bind { port, or }, Act::Serve])
    }

    /// The same program with a signal handler.
    #[must_use]
    pub fn on(mut self, signal: i32, reaction: Reaction) -> Self {
        self.reactions.insert(signal, reaction);
        self
    }
}

/// What becomes of a spawned process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launch {
    /// It becomes this program.
    Runs(Program),
    /// It fails on the way.
    Fails(ExecFailure),
}
