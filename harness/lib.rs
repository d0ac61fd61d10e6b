//! `relapse` replays services that restart for ever, in lock-step time, and proves which fixes stop them.

pub mod ctl;
pub mod journal;
pub mod manager;
pub mod time;
pub mod timeline;
pub mod unit;
pub mod world;
