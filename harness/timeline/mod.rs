//! The recorded timeline: every event of a run, in incident coordinates only.

mod event;
mod render;
mod signal;
mod text;

pub use event::*;
pub use render::{render, render_at, render_range};
pub use signal::{signal_name, signal_number};
pub use text::{brief, is_obeyed, printable, printable_json};
