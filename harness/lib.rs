//! `relapse` replays services that restart for ever, in lock-step time, and proves which fixes stop them.

pub mod cli;
pub mod control;
pub mod ctl;
pub mod expect;
pub mod journal;
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
pub use run::{ClockKind, Fault, Options};
pub use scenario::Scenario;
