//! The claim language of `expect` blocks: what it says ([`Claim`]), how it is read ([`parse`]), and how it is judged
//! ([`Monitor`]). Pure.
//!
//! # Grammar
//!
//! ```ebnf
//! expect  = { [ claim ] [ "#" comment ] NL } ;
//! claim   = INT "x" event "every" SPAN ".." SPAN
//!         | "each cycle:" event { "," event }
//!         | "in order:" event { "," event }
//!         | "eventually" cond [ "within" SPAN ]
//!         | "always" cond [ window ]
//!         | "never" ( event | cond ) [ window ]
//!         | ( "exactly" | "at least" | "at most" ) INT event [ window ]
//!         | "outage" ( "<=" | ">=" | "=" ) SPAN ;
//! window  = "for" ( SPAN | INT "cycles" ) ;
//! event   = [ VAR | UNITNAME ] act ;
//! act     = "log" STRING | "start" | "exit" INT | "killed" SIGNAL | "listening" PORT | "refused" PORT
//!         | "restart in" SPAN | "restart scheduled" | "start-limit-hit" | "journal" STRING ;
//! cond    = term { "and" term } ;
//! term    = quantity ( "=" | "!=" | ">=" | "<=" ) value ;
//! quantity = "unit." PROPERTY | UNITNAME "." PROPERTY | "port" PORT "owner" | "port" PORT "owners" | "processes" STRING ;
//! value   = VAR | "unit." PROPERTY | UNITNAME "." PROPERTY | "none" | '"' text '"' | WORD | INT | SPAN ;
//! ```
//!
//! `VAR` is `[NAME]`, a word that a console output has bound. `SPAN` is a time span of systemd.time(7). `STRING` is
//! `"text"`, found anywhere in a line (`\"` and `\\` stand for `"` and `\`), or `/regex/`. `SIGNAL` is a name with or
//! without `SIG`, or a number. `UNITNAME` before an act ends in the unit's type (`other.service`); before a property
//! `.service` may be left out.
//!
//! # Whose events
//!
//! Without a subject an event is the scenario's unit's. `start`, `exit` and `killed` are its *main process*'s (the one
//! of `ExecStart=`); `log`, `listening` and `refused` are any of its processes'; `log` sees standard output, standard
//! error and log files alike. `journal`, `restart …` and `start-limit-hit` are what the manager says about the unit.
//! `[NAME]` is a process by its incident PID, in whatever unit or none.
//!
//! # State
//!
//! A condition is about a state that the events add up to: properties as last shown by the manager, who listens, who
//! lives. The state at the beginning of a block is the sum of *all* events before it, so that a condition may hold
//! from the first moment on. Conditions are looked at after every event, not at the end of every instant: a state
//! that lasts no time at all is seen.
//!
//! `port N owner` is the one process that listens: it equals its PID, a `[NAME]` or `unit.MainPID` with that PID, or
//! the name of its unit (`unit` for the scenario's). With two of them it equals nothing, not even `none`. A property
//! equals a text, or a number or a span of the same size (`10s` is `10`); `>=` and `<=` compare numbers and spans.
//! What is not known (a property that the manager never showed, two texts without an order) is not true.
//!
//! # Windows, and when a claim is decided
//!
//! A block begins at the end of the block before it. Events before that do not count, by order and not by time. A
//! window of a span ends that long after the block's beginning, and its last microsecond belongs to it: `within 5s`
//! allows an event at exactly 5 s. A *cycle* is from one start of the unit's main process to the next. A window of `N
//! cycles` is the next N whole ones: it ends with the start that ends the last of them, which is not in it; counting
//! begins with the first start, while `always` and `never` are on guard from the block's beginning. Without a window
//! a claim has the *budget* of the scenario.
//!
//! | claim | holds | is violated |
//! |---|---|---|
//! | `Nx E every A .. B` | at the Nth event | at an event that comes sooner than A after the one before it; as soon as B has passed without one; at the end of the budget |
//! | `each cycle: …` | when the block ends, if three whole cycles or more were seen | at the start that ends a cycle in which the events did not all come in this order; at the end of the budget with fewer than three cycles |
//! | `in order: …` | at the last of the events | at the end of the budget |
//! | `eventually C` | at the first moment at which C is true | at the end of the window |
//! | `always C` | at the end of the window | at the first moment at which C is not true |
//! | `never C` | at the end of the window | at the first moment at which C is true; at the end of the window if C could not be judged |
//! | `never E` | at the end of the window | at the first such event |
//! | `exactly N E` | at the end of the window, with N | at number N + 1; at the end of the window, with fewer |
//! | `at least N E` | at number N | at the end of the window |
//! | `at most N E` | at the end of the window | at number N + 1 |
//! | `outage <= S`, `= S` | when the block ends | as soon as it is longer; when the block ends, if it is not over, is not `=`, or nobody made a request |
//! | `outage >= S` | as soon as it is that long | when the block ends |
//!
//! A window of cycles that has not ended by the end of the budget is a violation: an absence in a loop that is not
//! there proves nothing.
//!
//! `each cycle` and `outage` have no window. They are judged as long as the block lasts, which is until every other
//! claim is decided, `each cycle` has seen three cycles, and no outage goes on. A block of `outage` alone lasts as
//! long as the budget.
//!
//! An outage is the time from the sending of the first request that failed to the first answer after it; several add
//! up, and one that began before the block counts in full. Any HTTP status is an answer.
//!
//! # Feeding a monitor
//!
//! [`Monitor::feed`] (or [`Monitor::follow`]) takes events in order. [`Monitor::advance`] says that nothing more will
//! happen *up to and including* a moment; in lock-step that is when everybody waits and before the clock moves. A
//! runner moves the clock to the world's next deadline or [`Monitor::next_deadline`], whichever is sooner, until
//! [`Monitor::is_open`] is false, which the budget and the windows see to.

mod claim;
mod judged;
mod matching;
mod monitor;
mod nearest;
mod parse;
mod source;
mod state;
mod words;

pub use claim::*;
pub use judged::{CYCLES_TO_SEE, Judged, Verdict};
pub use matching::is_main_start;
pub use monitor::{Context, Monitor};
pub use nearest::nearest;
pub use parse::parse;
pub(crate) use parse::parse_from;
pub use source::{Diagnostic, Location, Position, Source, Style};
pub use state::State;
pub use words::is_var_name;
