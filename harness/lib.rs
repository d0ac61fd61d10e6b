//! `relapse` replays services that restart for ever, in lock-step time, and proves which fixes stop them.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! relapse::init(); // first line of main: become a helper if a run has started this program as one
//! let scenario = relapse::Scenario::load("scenarios/fixes/kill-the-manual-process.md")?;
//! let outcome = scenario.run(&relapse::Options::default())?;
//! assert_eq!(outcome.verdict, relapse::Verdict::Holds);
//! # Ok(())
//! # }
//! ```
//!
//! # Theory of operation
//!
//! A *run* makes a directory that stands for the incident's machine, leases a host port for each port of the incident,
//! and starts a *guard*: a process that starts all others, reaps them, and kills them all when the run is gone. The
//! manager (`manager`) is a pure function: it is told what happened and says what to do; [`run`] does it with real
//! processes and tells it what came of that.
//!
//! *Lock-step.* A process of ours (a stand-in server, `sleep`, `systemctl`; see [`program`]) says when it waits, and for
//! what ([`control`]). A foreign one (a shell, `grep`) is looked at in /proc. When nobody runs, everything that was
//! asked or reported meanwhile is served one at a time, in a fixed order; when there is nothing left to serve, a
//! barrier makes sure that nobody has a signal or data pending; then the clock jumps to the earliest deadline and wakes
//! one. So the order of events does not depend on the scheduler, and neither do the timelines.
//!
//! *Coordinates.* A scenario speaks of incident time, ports, paths and PIDs only; [`mapping`] and the run translate, both
//! ways.
//!
//! *A real systemd.* With [`ManagerKind::Systemd`](run::ManagerKind) the same blocks are played on a machine in namespaces of its own, under
//! a wall clock. Nothing is polled there: systemd's journal and bus and our own programs tell what happens, each with the
//! moment at which it did, and the timeline is put together from that.
//!
//! *Conformity.* [`conform`] plays units on the embedded manager and on a real systemd, and compares the answers.
//!
//! *Judgement.* Everything that happens is an event of the [`timeline`]. Claims ([`expect`]) are judged on that record,
//! never by polling. [`report`] shows what came of it.

pub mod cli;
pub mod conform;
pub mod control;
pub mod ctl;
pub mod detect;
pub mod diagnose;
pub mod expect;
pub mod journal;
pub mod lint;
pub mod manager;
pub mod mapping;
pub mod program;
pub mod report;
pub mod run;
pub mod scenario;
pub mod sys;
pub mod time;
pub mod timeline;
pub mod unit;
pub mod world;

pub use program::init;
pub use report::{Outcome, Verdict};
pub use run::{ClockKind, Fault, Isolation, Options};
pub use scenario::Scenario;
