//! The restarter: systemd's service manager as a pure function, `step(now, host, input) -> effects`.
//!
//! No I/O, no clock, no thread. Whoever drives it (the `run` module with real processes, the `world` module
//! without) tells it what happened and does what it says.

mod interface;
mod stub;
pub use stub::*;

pub use interface::*;
