//! Whether the embedded manager does what systemd does: units are run on both, and what came of them is compared.
//!
//! A [`Case`] is a unit with its programs and what an operator enters at which moments; an [`Answer`] is what a machine
//! made of it: the manager's records, what the commands printed and when they ended, how often the program ran. Answers
//! hold nothing that is another in every run ([`normal`]), so that two takes of a case, and the two managers, can be
//! compared word by word. The recordings in `fixtures/systemd/cases*.jsonl` are such cases and answers.

pub mod agree;
mod case;
pub mod compare;
pub mod embedded;
pub mod generate;
pub mod known;
pub mod machine;
pub mod normal;
mod said;
pub mod session;
pub mod show;
pub mod shrink;
pub mod table;

pub use case::{Act, Action, Answer, Case, Ended, Message, Recording, Recordings, Times};
pub use compare::{Difference, Kind};
pub use said::{Said, hear};

/// Where a case's programs lie in a machine; `@DIR@` in its texts.
pub const DIR: &str = "/case";

/// The machine's name.
pub const HOSTNAME: &str = "semtest";

/// Where in each quarter of a second since the first action the manager's timers fire.
pub const TIMER_PHASE: crate::time::Span = crate::time::Span::from_millis(164);

/// How much later or earlier something may happen, in milliseconds: recordings are of machines with other work.
pub const TOLERANCE_MS: u64 = 300;
