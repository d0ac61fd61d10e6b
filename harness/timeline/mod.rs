//! The recorded timeline: every event of a run, in incident coordinates only.

mod event;
mod text;

pub use event::*;
pub use text::{brief, printable};
