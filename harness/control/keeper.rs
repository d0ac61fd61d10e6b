//! Between a run and the keeper of its namespaces (`program::keeper`): one question, one answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sys::namespace::Root;

/// What the keeper is started for; its first frame.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keep {
    /// A new cgroup: the machine's root of cgroups.
    pub cgroup: PathBuf,
    /// What the machine's files are.
    pub root: Root,
}

/// From a run to the keeper.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToKeeper {
    /// Make the machine. Answer: `Made`.
    Make(Box<Keep>),
    /// Start this program beside it: in its network and with its files, but none of its processes. Answer: `Made`.
    Beside {
        /// The program's argv; it is ours.
        argv: Vec<String>,
        /// Its environment.
        environment: Vec<(String, String)>,
    },
    /// Boot it. Answer: `Booted`, and later `Down`.
    Boot(Init),
}

/// What a machine's PID 1 is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Init {
    /// A process of ours that does nothing but reap.
    Reaper,
    /// The distribution's systemd, by its path.
    Systemd(String),
}

/// From the keeper to a run.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromKeeper {
    /// The machine's files are there: below /proc/PID/root of the keeper.
    Made,
    /// PID 1 is about to be what was asked for.
    Booted {
        /// PID 1 of the machine as the keeper's side calls it; /proc/PID/root are the machine's files.
        init: i32,
    },
    /// What could not be done, and why.
    Failed {
        /// In words.
        why: String,
    },
    /// PID 1 has ended, and with it everything that ran there.
    Down,
}

/// A line of what the listener on a machine's bus says (`program::bus`).
#[derive(Debug, Serialize, Deserialize)]
pub struct Changed {
    /// Microseconds since 1970, of real time.
    pub at: u64,
    /// Which unit.
    pub unit: String,
    /// Properties as `systemctl show` names and writes them.
    pub changed: BTreeMap<String, String>,
}
