//! The recorded timeline: every event of a run, in incident coordinates only.

mod event;

pub use event::*;
