//! Restart loops in logs and journals: bytes in, a report out. Pure; memory is bounded, time is linear.
//!
//! ```
//! use relapse::detect::{Detector, Ended, Settings};
//!
//! let mut detector = Detector::new(Settings::default());
//! for n in 0..5 {
//!     let second = n * 10;
//!     let line = format!("Jan 16 12:00:{second:02} vm systemd[1]: app.service: Scheduled restart job, restart counter is at {n}.\n");
//!     detector.feed(line.as_bytes());
//! }
//! let report = detector.finish();
//! assert_eq!(report.loops[0].subject, "app.service");
//! assert_eq!(report.loops[0].starts, 5);
//! assert_eq!(report.loops[0].ended, Ended::Ongoing);
//! ```
//!
//! A line is cut off the stream ([`Detector::feed`] takes chunks of any size), its stamp and writer are read, and what it
//! says becomes a fact about a *subject*: a unit, a program, or the line itself if it may be that of a start. A subject
//! counts runs that follow each other by themselves; enough of them are a loop. What systemd would say counts only in
//! lines that systemd wrote.
//!
//! Managers write English whatever the reader's language is. journalctl's months are the reader's; where they are not
//! English, which month it is stays unknown, and a new one is taken to come right after the day before: a log that begins
//! in an English month (`Feb`) and goes on in another (`Mär`) is read, one that goes on the other way round has a gap
//! there. `LC_TIME=C journalctl` has none.

mod axis;
mod banner;
mod chain;
mod change;
mod clock;
mod detector;
mod entry;
mod explainers;
mod fact;
mod gaps;
mod lines;
mod others;
mod program;
mod report;
mod search;
mod skim;
mod stamp;
mod subject;
mod systemd;

pub use change::Change;
pub use detector::{Detector, Settings};
pub use fact::Cause;
pub use gaps::Period;
pub use report::{Ended, Loop, Report, Signature};
pub use search::Search;
pub use skim::{Pieces, Plan, Reader, Skimmer, Study};
