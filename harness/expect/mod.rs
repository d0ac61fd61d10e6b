//! The claim language. Pure.

mod claim;
mod matching;
mod monitor;
mod nearest;
mod parse;
mod source;
mod state;
mod words;

pub use claim::*;
pub use matching::is_main_start;
pub use monitor::{CYCLES_TO_SEE, Context, Judged, Monitor, Verdict};
pub use nearest::nearest;
pub use parse::parse;
pub use source::{Diagnostic, Location, Position, Source, Style};
pub use state::State;
pub use words::is_var_name;
