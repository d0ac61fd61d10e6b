//! What became of scenarios, for people and for machines.
//!
//! [`Outcome`] is everything a report needs; [`text`], [`json`] and [`junit`] show it. What is printed is safe for a
//! terminal whatever the service, its logs and the document contain, and has colours only in [`Style::Coloured`].
//!
//! [`Style::Coloured`]: crate::expect::Style::Coloured

mod index;
mod json;
mod junit;
mod outcome;
mod statistics;
mod text;

pub use index::{index, index_row, with_index};
pub use json::json;
pub use junit::junit;
pub use outcome::{ClaimOutcome, Failure, FailureKind, Outcome, PhaseOutcome, PhaseState, Verdict, exit_code};
pub use statistics::{Aftermath, Answerer, Loop, Outage, Period};
pub use text::{summary, text};
