//! `relapse` replays services that restart for ever, in lock-step time, and proves which fixes stop them.

pub mod expect;
pub mod journal;
pub mod manager;
pub mod report;
pub mod scenario;
pub mod time;
pub mod timeline;
pub mod unit;
